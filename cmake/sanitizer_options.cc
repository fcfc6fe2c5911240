// Linked into every program that is built with a sanitizer: how the sanitizer behaves, here rather
// than in an environment, so that the programs which a test starts behave alike.
//
// Libraries from outside (gRPC, LibTorch, Abseil) are not instrumented.

#include <cstdlib>

namespace {

// Otherwise OpenVINO's TBB opens a library in a way (RTLD_DEEPBIND) that ends the process.
[[gnu::constructor]] void TellTbb() { ::setenv("TBB_ENABLE_SANITIZERS", "1", /*overwrite=*/0); }

}  // namespace

extern "C" {

// The leak checker knows what is a library's own only by a library that is still there.
int dlclose(void* /*library*/) { return 0; }

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
         "leak:libcares.so\n"
         "leak:libopenvino";
}

const char* __tsan_default_options();
const char* __tsan_default_options() {
  return "halt_on_error=1:second_deadlock_stack=1:history_size=7:ignore_noninstrumented_modules=1";
}

// Their own locks and atomics are invisible here, so what they hand over looks like a race.
const char* __tsan_default_suppressions();
const char* __tsan_default_suppressions() {
  return "called_from_lib:libgomp.so\n"
         "race:libtorch_cpu.so\n"
         "race:libc10.so\n"
         "race:libgrpc.so\n"
         "race:libgrpc++.so\n"
         "race:libgpr.so\n"
         "race:/grpcpp/\n";
}

}  // extern "C"
