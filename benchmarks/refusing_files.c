/* Preloaded before libc: one chosen file call below one folder fails, or the process is killed before it.

   Calls that change files are counted: opening for writing, writing, flushing, renaming, removing, making folders,
   cutting, linking. faults.py sets which of them, by refuse_call(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long chosen = -1, seen = 0;
static int error_number = 0;
static char folder[4096];

/* The how-manyth call below `prefix` is refused; number 0: the process is killed instead. */
void refuse_call(long call, int number, const char *prefix) {
    chosen = call;
    error_number = number;
    seen = 0;
    snprintf(folder, sizeof folder, "%s", prefix);
}

long calls_seen(void) { return seen; }

static int below(const char *path) { return folder[0] && path && strncmp(path, folder, strlen(folder)) == 0; }

static int refused(void) {
    if (++seen != chosen) return 0;
    if (error_number == 0) kill(getpid(), SIGKILL);
    errno = error_number;
    return 1;
}

static int path_refused(int directory, const char *path) {
    if (!folder[0] || !path) return 0;
    if (path[0] == '/') return below(path) && refused();
    char whole[8192], name[64];
    ssize_t length;
    if (directory == AT_FDCWD) {
        if (!getcwd(whole, sizeof whole)) return 0;
        return below(whole) && refused();
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", directory);
    length = readlink(name, whole, sizeof whole - 1);
    if (length < 0) return 0;
    whole[length] = 0;
    return below(whole) && refused();
}

static int descriptor_refused(int descriptor) {
    if (!folder[0]) return 0;
    int before = errno;
    char whole[8192], name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(name, whole, sizeof whole - 1);
    errno = before;
    if (length < 0) return 0;
    whole[length] = 0;
    return below(whole) && refused();
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define WRITING(flags) (((flags) & (O_WRONLY | O_RDWR | O_CREAT)) != 0)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, #name, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if (WRITING(flags) && path_refused(AT_FDCWD, path)) return -1; \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(int, #name, int, const char *, int, ...); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        if (WRITING(flags) && path_refused(directory, path)) return -1; \
        return real(directory, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define DESCRIPTOR(result, name, declared, given, ...) \
    result name declared { \
        REAL(result, #name, __VA_ARGS__); \
        if (descriptor_refused(descriptor)) return -1; \
        return real given; \
    }
DESCRIPTOR(ssize_t, write, (int descriptor, const void *data, size_t size), (descriptor, data, size), int, const void *, size_t)
DESCRIPTOR(ssize_t, pwrite, (int descriptor, const void *data, size_t size, off_t at), (descriptor, data, size, at), int, const void *, size_t, off_t)
DESCRIPTOR(ssize_t, pwrite64, (int descriptor, const void *data, size_t size, off64_t at), (descriptor, data, size, at), int, const void *, size_t, off64_t)
DESCRIPTOR(ssize_t, writev, (int descriptor, const struct iovec *parts, int count), (descriptor, parts, count), int, const struct iovec *, int)
DESCRIPTOR(int, fsync, (int descriptor), (descriptor), int)
DESCRIPTOR(int, fdatasync, (int descriptor), (descriptor), int)
DESCRIPTOR(int, ftruncate, (int descriptor, off_t length), (descriptor, length), int, off_t)
DESCRIPTOR(int, ftruncate64, (int descriptor, off64_t length), (descriptor, length), int, off64_t)

#define PATH(name, declared, given, directory, path, ...) \
    int name declared { \
        REAL(int, #name, __VA_ARGS__); \
        if (path_refused(directory, path)) return -1; \
        return real given; \
    }
PATH(rename, (const char *from, const char *to), (from, to), AT_FDCWD, from, const char *, const char *)
PATH(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), a, from, int, const char *, int, const char *)
PATH(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), a, from, int, const char *, int, const char *, unsigned)
PATH(unlink, (const char *path), (path), AT_FDCWD, path, const char *)
PATH(unlinkat, (int directory, const char *path, int flags), (directory, path, flags), directory, path, int, const char *, int)
PATH(rmdir, (const char *path), (path), AT_FDCWD, path, const char *)
PATH(mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, const char *, mode_t)
PATH(mkdirat, (int directory, const char *path, mode_t mode), (directory, path, mode), directory, path, int, const char *, mode_t)
PATH(link, (const char *from, const char *to), (from, to), AT_FDCWD, to, const char *, const char *)
