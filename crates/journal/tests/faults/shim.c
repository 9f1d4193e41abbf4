// Between a process and the system: as soon as the file SHIM_TRIGGER is there, SHIM_CALL ("write", "sync" or "open") on a file of the
// journal fails SHIM_TIMES times with SHIM_ERRNO, or takes two seconds where that is SLOW; "copy" is a sync of the file beside its log.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int failed;

static int fails(const char *call, const char *path) {
  const char *wanted = getenv("SHIM_CALL"), *trigger = getenv("SHIM_TRIGGER"), *name = getenv("SHIM_ERRNO");
  if (!wanted || !trigger || !name || strcmp(wanted, call) || !strstr(path, "/journal.") || access(trigger, F_OK)) return 0;
  if (!strcmp(call, "copy") && strstr(path, "-wal")) return 0;
  if (failed >= atoi(getenv("SHIM_TIMES"))) return 0;
  failed++;
  if (!strcmp(name, "SLOW")) {
    sleep(2);
    return 0;
  }
  errno = !strcmp(name, "ENOSPC") ? ENOSPC : !strcmp(name, "EROFS") ? EROFS : EIO;
  return 1;
}

static int fails_on(const char *call, int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return fails(call, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) { return fails_on("write", file) ? -1 : REAL(write)(file, bytes, count); }
ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return fails_on("write", file) ? -1 : REAL(pwrite)(file, bytes, count, at); }
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) { return fails_on("write", file) ? -1 : REAL(pwrite64)(file, bytes, count, at); }
static int fails_to_sync(int file) { return fails_on("sync", file) || fails_on("copy", file); }
int fsync(int file) { return fails_to_sync(file) ? -1 : REAL(fsync)(file); }
int fdatasync(int file) { return fails_to_sync(file) ? -1 : REAL(fdatasync)(file); }

static int refuses(const char *path, int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails("open", path); }

#define OPEN(name)                            \
  int name(const char *path, int flags, ...) { \
    va_list rest;                             \
    va_start(rest, flags);                    \
    mode_t mode = va_arg(rest, mode_t);       \
    va_end(rest);                             \
    return refuses(path, flags) ? -1 : REAL(name)(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)
