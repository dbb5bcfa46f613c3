/* NVML as an older driver has it, for two cards: what it does not have the binding asks for in vain; the second card
   tells little to whoever is not root. Declarations: https://docs.nvidia.com/deploy/nvml-api/ */
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, TOO_SMALL = 7 };
typedef struct { unsigned long long total, free, used; } memory;

static int second(void *card) { return card == (void *)2; }

int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int result) { return "a sentence"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { strncpy(text, "510.47.03", size); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 11060; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **card) { *card = (void *)(index + 1ul); return SUCCESS; }
int nvmlDeviceGetName(void *card, char *text, unsigned size) { strncpy(text, "NVIDIA A10", size); return SUCCESS; }
int nvmlDeviceGetCudaComputeCapability(void *card, int *major, int *minor) { *major = 8; *minor = 6; return SUCCESS; }
int nvmlDeviceGetMemoryInfo(void *card, memory *told)
{
    if (second(card)) return NOT_SUPPORTED;
    told->total = 24ull << 30; told->free = 22ull << 30; told->used = 2ull << 30;
    return SUCCESS;
}
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;
int nvmlDeviceGetComputeRunningProcesses_v2(void *card, unsigned *count, process *told)
{
    if (second(card)) return NO_PERMISSION;
    if (*count < 2) { *count = 2; return TOO_SMALL; }
    *count = 2;
    told[0] = (process){4000001, 3ull << 30, -1, -1};
    told[1] = (process){4000002, -1ull, -1, -1}; /* NVML_VALUE_NOT_AVAILABLE */
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *card, unsigned *milliwatts)
{
    if (second(card)) return NO_PERMISSION;
    *milliwatts = 120000;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(void *card, int kind, unsigned *mhz) { *mhz = kind ? 6251 : 1695; return SUCCESS; }
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned *celsius) { *celsius = 61; return SUCCESS; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *card, unsigned long long *reasons)
{
    if (second(card)) return NO_PERMISSION;
    *reasons = 0x1 | 0x4;
    return SUCCESS;
}
