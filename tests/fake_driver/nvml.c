/* A driver's library without a driver: up to 16 GPUs of which every value differs.

   The scenario is a file, named by FAKE_NVML and read again at every call, of lines such as
     gpus 8                  how many there are
     init 18                 what initialising returns
     fault 1 power 3         GPU 1 answers 3 (not supported) to one question; * is every question
     fault 2 handle 15       it can't even be found
     value 0 utilisation 97  another value than usual; * is every GPU
     delay 3 clock 300       it takes milliseconds to answer
     hang 3 clock            it does not answer until the line is gone
     process 0 4242 1048576  a compute process and its bytes
     mig 0 2                 it is divided into instances, called 0.0 and 0.1 in the other lines
     name 1 NVIDIA L4        another model
   OLD_DRIVER leaves out what drivers before R510 did not have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GPUS 16
#define INSTANCES 7
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define INSUFFICIENT_SIZE 7

typedef struct { int gpu, instance; } device_t; /* instance -1: the whole GPU */
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_v1_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int pid; unsigned long long bytes; unsigned int gi, ci; } process_t;
const unsigned int fake_sizes[] = {
    sizeof(utilization_t), sizeof(memory_v1_t), sizeof(memory_v2_t), sizeof(process_t)};

static device_t devices[GPUS][INSTANCES + 1];

static FILE *scenario(void) {
    const char *path = getenv("FAKE_NVML");
    return path ? fopen(path, "r") : NULL;
}

static int is_about(const char *target, const device_t *device) {
    char own[16];
    if (!strcmp(target, "*")) return 1;
    if (device->instance < 0) snprintf(own, sizeof own, "%d", device->gpu);
    else snprintf(own, sizeof own, "%d.%d", device->gpu, device->instance);
    return !strcmp(target, own);
}

/* These two must be named one by one. */
static int is_identity(const char *field) { return !strcmp(field, "handle") || !strcmp(field, "uuid"); }

/* Find the last line "KIND TARGET FIELD NUMBER" about a device's field; tell whether there is one. */
static int find(const char *kind, const device_t *device, const char *field, long long *number) {
    char line[256], word[32], target[32], name[32];
    long long value = 0;
    int found = 0;
    FILE *file = scenario();
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        value = 0;
        if (sscanf(line, "%31s %31s %31s %lld", word, target, name, &value) < 3) continue;
        if (strcmp(word, kind) || !is_about(target, device)) continue;
        if (strcmp(name, field) && (strcmp(name, "*") || is_identity(field))) continue;
        found = 1;
        *number = value;
    }
    fclose(file);
    return found;
}

static long long setting(const char *name, long long otherwise) {
    char line[256], word[32];
    long long value;
    FILE *file = scenario();
    if (!file) return otherwise;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%31s %lld", word, &value) == 2 && !strcmp(word, name)) otherwise = value;
    fclose(file);
    return otherwise;
}

static int instances_of(int gpu) {
    char line[256];
    int number, count, found = 0;
    FILE *file = scenario();
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "mig %d %d", &number, &count) == 2 && number == gpu) found = count;
    fclose(file);
    return found;
}

/* Wait as the scenario says, then return the field's error. */
static int fault(const device_t *device, const char *field) {
    long long number = 0;
    if (find("delay", device, field, &number)) usleep(number * 1000);
    while (find("hang", device, field, &number)) usleep(10000);
    return find("fault", device, field, &number) ? (int)number : 0;
}

static long long value(const device_t *device, const char *field, long long usual) {
    long long number = usual;
    find("value", device, field, &number);
    return number;
}

static long long of(const device_t *device, const char *field, long long first, long long step) {
    return value(device, field, first + step * (device->gpu + 20 * (device->instance + 1)));
}

int nvmlInitWithFlags(unsigned int flags) {
    const char *path = getenv("FAKE_NVML");
    char name[512];
    FILE *file;
    (void)flags;
    for (int gpu = 0; gpu < GPUS; gpu++)
        for (int place = 0; place <= INSTANCES; place++) devices[gpu][place] = (device_t){gpu, place - 1};
    snprintf(name, sizeof name, "%s.inits", path ? path : "/dev/null");
    if (path && (file = fopen(name, "a"))) { fputs("init\n", file); fclose(file); }
    while (setting("init", 0) < 0) usleep(10000); /* does not return */
    return (int)setting("init", 0);
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    snprintf(version, length, "570.12.34");
    return 0;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    *count = (unsigned int)setting("gpus", 2);
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **device) {
    *device = &devices[index][0];
    return fault(*device, "handle");
}

static void write_uuid(const device_t *device, char *uuid, unsigned int length) {
    char letter = (char)('a' + device->gpu);
    if (device->instance < 0) snprintf(uuid, length, "GPU-%c%c%c%c", letter, letter, letter, letter);
    else snprintf(uuid, length, "MIG-%c%c%c%c-%d", letter, letter, letter, letter, device->instance);
}

int nvmlDeviceGetHandleByUUID(const char *wanted, device_t **device) {
    char uuid[96];
    unsigned int count;
    nvmlDeviceGetCount_v2(&count);
    for (unsigned int gpu = 0; gpu < count; gpu++)
        for (int place = 0; place <= instances_of((int)gpu); place++) {
            write_uuid(&devices[gpu][place], uuid, sizeof uuid);
            if (strcmp(uuid, wanted)) continue;
            *device = &devices[gpu][place];
            return fault(*device, "handle");
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(device_t *device, char *uuid, unsigned int length) {
    write_uuid(device, uuid, length);
    return fault(device, "uuid");
}

int nvmlDeviceGetName(device_t *device, char *name, unsigned int length) {
    char line[256], target[32], text[128];
    FILE *file = scenario();
    snprintf(name, length, device->instance < 0 ? "Fake A100" : "Fake A100 MIG 1g.5gb");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "name %31s %127[^\n]", target, text) == 2 && is_about(target, device))
            snprintf(name, length, "%s", text);
    if (file) fclose(file);
    return fault(device, "name");
}

int nvmlDeviceGetMigMode(device_t *device, unsigned int *current, unsigned int *pending) {
    *current = *pending = instances_of(device->gpu) > 0;
    return fault(device, "mig_mode");
}

int nvmlDeviceGetMaxMigDeviceCount(device_t *device, unsigned int *count) {
    *count = instances_of(device->gpu) ? INSTANCES : 0;
    return 0;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t *device, unsigned int index, device_t **instance) {
    if ((int)index >= instances_of(device->gpu)) return NOT_FOUND;
    *instance = &devices[device->gpu][index + 1];
    return 0;
}

/* Of an instance only memory and processes can be asked, of a divided GPU no utilisation. */
static int is_refused(const device_t *device) { return device->instance >= 0; }

int nvmlDeviceGetUtilizationRates(device_t *device, utilization_t *rates) {
    if (is_refused(device) || instances_of(device->gpu)) return NOT_SUPPORTED;
    rates->gpu = (unsigned int)of(device, "utilisation", 30, 1);
    rates->memory = 99;
    return fault(device, "utilisation");
}

static memory_v2_t memory_of(const device_t *device) {
    memory_v2_t memory = {0};
    memory.total = (unsigned long long)of(device, "memory_total", 80ll << 30, 1ll << 30);
    memory.reserved = 600ull << 20;
    memory.used = (unsigned long long)of(device, "memory_used", 5ll << 30, 1ll << 30);
    memory.free = memory.total - memory.used - memory.reserved;
    return memory;
}

int nvmlDeviceGetMemoryInfo(device_t *device, memory_v1_t *memory) {
    memory_v2_t all = memory_of(device);
    memory->total = all.total;
    memory->free = all.free;
    memory->used = all.used + all.reserved;
    return fault(device, "memory");
}

int nvmlDeviceGetPowerUsage(device_t *device, unsigned int *milliwatts) {
    if (is_refused(device)) return 2; /* invalid argument */
    *milliwatts = (unsigned int)of(device, "power", 250500, 1000);
    return fault(device, "power");
}

int nvmlDeviceGetEnforcedPowerLimit(device_t *device, unsigned int *milliwatts) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *milliwatts = (unsigned int)of(device, "power_limit", 400250, 1000);
    return fault(device, "power_limit");
}

int nvmlDeviceGetTemperature(device_t *device, int sensor, unsigned int *celsius) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *celsius = sensor == 0 ? (unsigned int)of(device, "temperature", 61, 1) : 7;
    return fault(device, "temperature");
}

int nvmlDeviceGetClockInfo(device_t *device, int kind, unsigned int *megahertz) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *megahertz = kind == 1 ? (unsigned int)of(device, "clock", 1410, 1) : 9;
    return fault(device, "clock");
}

static int throttle(device_t *device, unsigned long long *mask) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *mask = (unsigned long long)value(device, "throttle", device->gpu ? 0x1 : 0x4 | 0x20 | 0x40);
    return fault(device, "throttle");
}

static int errors(device_t *device, int kind, int counter, unsigned long long *count) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *count = counter ? 9999 : (unsigned long long)of(device, kind ? "ecc_uncorrected" : "ecc_corrected",
                                                     kind ? 800 : 700, 1);
    return fault(device, kind ? "ecc_uncorrected" : "ecc_corrected");
}

int nvmlDeviceGetTotalEccErrors(device_t *device, int kind, int counter, unsigned long long *count) {
    return errors(device, kind, counter, count);
}

int nvmlDeviceGetPcieThroughput(device_t *device, int way, unsigned int *kilobytes) {
    if (is_refused(device)) return NOT_SUPPORTED;
    *kilobytes = (unsigned int)of(device, way ? "pcie_rx" : "pcie_tx", way ? 5000 : 6000, 1);
    return fault(device, way ? "pcie_rx" : "pcie_tx");
}

int nvmlDeviceGetComputeRunningProcesses_v2(device_t *device, unsigned int *count, process_t *found) {
    char line[256], target[32];
    unsigned int room = *count, pid;
    unsigned long long bytes;
    int code = fault(device, "processes");
    FILE *file = scenario();
    *count = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "process %31s %u %llu", target, &pid, &bytes) != 3) continue;
        if (!is_about(target, device)) continue;
        if (found && *count < room) found[*count] = (process_t){pid, bytes, ~0u, ~0u};
        ++*count;
    }
    if (file) fclose(file);
    if (code) return code;
    return *count > room ? INSUFFICIENT_SIZE : 0;
}

#ifdef OLD_DRIVER
int nvmlDeviceGetCurrentClocksThrottleReasons(device_t *device, unsigned long long *mask) {
    return throttle(device, mask);
}
#else
int nvmlDeviceGetCurrentClocksEventReasons(device_t *device, unsigned long long *mask) {
    return throttle(device, mask);
}
int nvmlDeviceGetMemoryInfo_v2(device_t *device, memory_v2_t *memory) {
    if (memory->version != (sizeof(memory_v2_t) | 2 << 24)) return 25; /* wrong version */
    *memory = memory_of(device);
    return fault(device, "memory");
}
int nvmlDeviceGetComputeRunningProcesses_v3(device_t *device, unsigned int *count, process_t *found) {
    return nvmlDeviceGetComputeRunningProcesses_v2(device, count, found);
}
#endif

const char *nvmlErrorString(int code) {
    switch (code) {
        case 2: return "Invalid Argument";
        case 3: return "Not Supported";
        case 4: return "Insufficient Permissions";
        case 6: return "Not Found";
        case 9: return "Driver Not Loaded";
        case 10: return "Timeout";
        case 15: return "GPU is lost";
        case 18: return "Driver/library version mismatch";
        default: return "Unknown Error";
    }
}
