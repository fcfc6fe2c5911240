// Linked into every program that is built with a sanitizer: how the sanitizer behaves, here rather
// than in an environment, so that the programs which a test starts behave alike.
//
// Libraries from outside (gRPC, LibTorch, Abseil) are not instrumented.

extern "C" {

const char* __asan_default_options();
const char* __asan_default_options() {
  return "detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1";
}

const char* __ubsan_default_options();
const char* __ubsan_default_options() { return "print_stacktrace=1"; }

// What libraries keep for the whole life of the process.
const char* __lsan_default_suppressions();
const char* __lsan_default_suppressions() {
  return "leak:libtorch_cpu.so\n"
         "leak:libc10.so\n"
         "leak:libgomp.so\n"
         "leak:libgrpc.so\n"
         "leak:libgrpc++.so\n"
         "leak:libcares.so\n";
}

const char* __tsan_default_options();
const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:ignore_noninstrumented_modules=1";
}

// Their own locks and atomics are invisible here, so what they hand over looks like a race.
const char* __tsan_default_suppressions();
const char* __tsan_default_suppressions() {
  return "called_from_lib:libgomp.so\n"
         "race:libtorch_cpu.so\n"
         "race:libc10.so\n"
         "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n";
}

}  // extern "C"
