/* As much of NVML as the client asks of it, as nvml.h declares it: one GPU, used by a server and by somebody else. */
#include <stdlib.h>

typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu, compute; } process_t;

int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = (void *)(1 + (size_t)index); return 0; }
int nvmlDeviceGetPowerUsage(void *device, unsigned int *to) { *to = 412500; return 0; }
int nvmlDeviceGetClockInfo(void *device, int which, unsigned int *to) { *to = which ? 14001 : 2842; return 0; }
int nvmlDeviceGetTemperature(void *device, int which, unsigned int *to) { *to = 71; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, memory_t *to) { to->used = 30ULL << 30; return 0; }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *to) { *to = 0x4 | 0x1; return 0; }

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_t *to)
{
    if (*count < 3) return 7; /* NVML_ERROR_INSUFFICIENT_SIZE */
    *count = 3;
    to[0] = (process_t){(unsigned int)atoi(getenv("SERVER_PID")), 24ULL << 30, ~0U, ~0U};
    to[1] = (process_t){4000001, 3ULL << 30, ~0U, ~0U};
    to[2] = (process_t){4000002, ~0ULL, ~0U, ~0U}; /* what it holds is not told */
    return 0;
}
