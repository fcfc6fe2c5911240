// The precompiled header <torch/torch.h> hangs on a target, and a target needs a source.
