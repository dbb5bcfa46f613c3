"""Where a missing library comes from: the command that brings it, for Debian and Ubuntu, and for pip."""

from __future__ import annotations

import re

_APT = {
    "libnuma.so.1": "libnuma1",
    "libgomp.so.1": "libgomp1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libibverbs.so.1": "libibverbs1",
    "librdmacm.so.1": "librdmacm1",
    "libmlx5.so.1": "ibverbs-providers",
    "libsndfile.so.1": "libsndfile1",
    "libsox.so": "libsox-dev",
    "libstdc++.so.6": "libstdc++6",
    "libgcc_s.so.1": "libgcc-s1",
    "libz.so.1": "zlib1g",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "libcurl.so.4": "libcurl4",
    "libopenblas.so.0": "libopenblas0",
    "libxml2.so.2": "libxml2",
    "libX11.so.6": "libx11-6",
    "libXext.so.6": "libxext6",
    "libSM.so.6": "libsm6",
    "libmpi.so.40": "libopenmpi3",
    "libatomic.so.1": "libatomic1",
    "libelf.so.1": "libelf1",
    "libhwloc.so.15": "libhwloc15",
    "libtbb.so.12": "libtbb12",
    "libnl-3.so.200": "libnl-3-200",
    "libnl-route-3.so.200": "libnl-route-3-200",
    "libdw.so.1": "libdw1",
}
_FFMPEG = re.compile(r"lib(avutil|avcodec|avformat|avdevice|avfilter|swscale|swresample)\.so\.")
_CUDA = re.compile(
    r"lib(cudart|cublas|cublasLt|cufft|curand|cusolver|cusparse|nvrtc|nvJitLink|cupti|cufile|nvToolsExt)\.so\.(\d+)"
)
_WHEELS = {
    "cudart": "nvidia-cuda-runtime",
    "cublas": "nvidia-cublas",
    "cublasLt": "nvidia-cublas",
    "cufft": "nvidia-cufft",
    "curand": "nvidia-curand",
    "cusolver": "nvidia-cusolver",
    "cusparse": "nvidia-cusparse",
    "nvrtc": "nvidia-cuda-nvrtc",
    "nvJitLink": "nvidia-nvjitlink",
    "cupti": "nvidia-cuda-cupti",
    "cufile": "nvidia-cufile",
    "nvToolsExt": "nvidia-nvtx",
}
_OTHER_WHEELS = {
    "libcudnn.so.9": "nvidia-cudnn",
    "libnccl.so.2": "nvidia-nccl",
    "libcusparseLt.so.0": "nvidia-cusparselt",
    "libnvshmem_host.so.3": "nvidia-nvshmem",
}
#: These sonames carry a number of their own, not CUDA's.
_OWN_NUMBER = {"cufft", "curand", "cusolver", "cusparse", "cufile", "nvToolsExt"}
_TORCH = re.compile(r"lib(c10_cuda|torch_cuda\w*|torch_nvshmem)\.so")


def cuda_major(library: str) -> int | None:
    """Return the CUDA release that a library belongs to, if its name says so."""
    found = _CUDA.fullmatch(library)
    if found and found[1] not in _OWN_NUMBER:
        return int(found[2])
    return None


def needs_cuda_torch(library: str) -> bool:
    """Is this a library that only CUDA builds of torch have?"""
    return bool(_TORCH.fullmatch(library))


def cuda_wheels(torch_cuda: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return the libraries that the wheels pinned by a CUDA torch bring, and the names in them."""
    major = torch_cuda.split(".", maxsplit=1)[0] or "none"
    numbered = "|".join(sorted(set(_WHEELS) - _OWN_NUMBER))
    own = "|".join(sorted(_OWN_NUMBER))
    other = r"cudnn\w*|nccl|cusparseLt|nvshmem_host|nvrtc-builtins"
    libraries = rf"lib({numbered})\.so\.{major}|lib({own}|{other})\.so[\d.]*"
    symbols = r"_{0,2}(cu(da|blas|dnn|fft|rand|solver|sparse|pti|File)|nvrtc|nvJitLink|nvtx|p?nccl|nvshmem)"
    return re.compile(libraries), re.compile(symbols)


def fix(library: str, torch_cuda: str) -> str:
    """Return the command that brings a library."""
    if library in _APT:
        return f"apt-get install --yes --no-install-recommends {_APT[library]}"
    if _FFMPEG.match(library):
        return "apt-get install --yes --no-install-recommends ffmpeg"
    suffix = f"cu{torch_cuda.split('.', maxsplit=1)[0] or 12}"
    if library in _OTHER_WHEELS:
        return f"pip install --force-reinstall {_OTHER_WHEELS[library]}-{suffix}"
    found = _CUDA.fullmatch(library)
    if found:
        major = cuda_major(library)
        return f"pip install {_WHEELS[found[1]]}{'' if major == 13 else f'-cu{major or 12}'}"  # noqa: PLR2004
    return f"apt-file search {library}   # then install the package that has it"
