/* A wall clock of its own for one process, which `cdcd drill clock` sets while the process runs.

   To be loaded before the C library (LD_PRELOAD). DRILL_CLOCK_FILE names a file of eight bytes:
   how many nanoseconds the clock is ahead, in the machine's byte order. Clocks that nobody can set
   are left alone, and whoever waits until a time by the wall clock waits as long as before. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* No machine is up for so long, and the wall clock has long passed it: so a time tells its clock. */
#define WALL_SECONDS_MIN 1000000000LL

static const volatile int64_t *ahead;

__attribute__((constructor)) static void find_file(void)
{
    const char *path = getenv("DRILL_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        ahead = found;
}

static int64_t shift(void) { return ahead ? *ahead : 0; }

static struct timespec moved(struct timespec at, int64_t by)
{
    int64_t nanoseconds = at.tv_nsec + by % SECOND;
    at.tv_sec += by / SECOND + (nanoseconds >= SECOND) - (nanoseconds < 0);
    at.tv_nsec = (nanoseconds + SECOND) % SECOND;
    return at;
}

/* The C library's own; of some functions it keeps a first version that nothing should use. */
static void *own(const char *name, const char *version)
{
    void *found = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    return found ? found : dlsym(RTLD_NEXT, name);
}

#define OWN(result, name, version, ...)                     \
    static result (*real)(__VA_ARGS__);                     \
    if (!real)                                              \
        real = (result(*)(__VA_ARGS__))own(#name, version)

int clock_gettime(clockid_t clock, struct timespec *now)
{
    OWN(int, clock_gettime, NULL, clockid_t, struct timespec *);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *now = moved(*now, shift());
    return failed;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, now) ? base : 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec at;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &at))
        return -1;
    now->tv_sec = at.tv_sec;
    now->tv_usec = at.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (where)
        *where = at.tv_sec;
    return at.tv_sec;
}

static struct timespec unmoved(const struct timespec *until)
{
    return until->tv_sec > WALL_SECONDS_MIN ? moved(*until, -shift()) : *until;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    OWN(int, pthread_cond_timedwait, "GLIBC_2.3.2", pthread_cond_t *, pthread_mutex_t *,
        const struct timespec *);
    struct timespec at = unmoved(until);
    return real(condition, mutex, &at);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    OWN(int, sem_timedwait, NULL, sem_t *, const struct timespec *);
    struct timespec at = unmoved(until);
    return real(semaphore, &at);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    OWN(int, pthread_mutex_timedlock, NULL, pthread_mutex_t *, const struct timespec *);
    struct timespec at = unmoved(until);
    return real(mutex, &at);
}

/* Those of C11's threads, which Kafka's client waits by. */

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until)
{
    OWN(int, cnd_timedwait, NULL, cnd_t *, mtx_t *, const struct timespec *);
    struct timespec at = unmoved(until);
    return real(condition, mutex, &at);
}

int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until)
{
    OWN(int, mtx_timedlock, NULL, mtx_t *, const struct timespec *);
    struct timespec at = unmoved(until);
    return real(mutex, &at);
}
