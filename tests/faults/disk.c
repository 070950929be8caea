/* A disk that fails, fills up, is slow, or goes when the process does.

   Put before the C library (LD_PRELOAD), it sees every call that writes or names files below one folder, whoever makes
   it. disk.py sets the variable `disk`; nothing happens as long as its folder is empty. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { FAIL = 1, TORN, SHORT, KILL };
enum { READ = 1, WRITTEN };

struct disk {
    char folder[PATH_MAX]; /* calls below it count, and those of relative paths */
    long at;               /* the number of the call that goes wrong, from 1 on; 0 for none */
    int fault, error;      /* how, and with which errno */
    int lasting;           /* whether all after it go wrong too */
    long room;             /* bytes that may be written before the disk is full; below 0 for any number */
    long pause;            /* microseconds that 64 KiB, or forcing them to the disk, take */
    long written;          /* bytes so far */
    long calls;            /* calls so far */
    char log[1 << 16];     /* a letter for each */
} disk = {.room = -1};

static char opened[1024]; /* for each descriptor: READ or WRITTEN if it is of a file below the folder */

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int below(const char *path)
{
    return disk.folder[0] && path && (path[0] != '/' || !strncmp(path, disk.folder, strlen(disk.folder)));
}

static int open_for(int descriptor, int use)
{
    return disk.folder[0] && descriptor >= 0 && descriptor < (int)sizeof opened && opened[descriptor] >= use;
}

/* Count a call; return whether it goes wrong. */
static int wrong(char letter)
{
    if (disk.calls < (long)sizeof disk.log - 1)
        disk.log[disk.calls] = letter;
    disk.calls++;
    if (disk.calls != disk.at && !(disk.lasting && disk.at && disk.calls > disk.at && !strchr("cu", letter)))
        return 0;
    if (disk.fault == KILL && letter != 'w')
        raise(SIGKILL);
    errno = disk.error;
    return 1;
}

static ssize_t written(ssize_t count)
{
    if (count > 0)
        disk.written += count;
    return count;
}

ssize_t write(int descriptor, const void *bytes, size_t count)
{
    if (!open_for(descriptor, WRITTEN))
        return REAL(write)(descriptor, bytes, count);
    if (wrong('w')) {
        ssize_t half = disk.fault == FAIL ? 0 : written(REAL(write)(descriptor, bytes, count / 2));
        if (disk.fault == KILL)
            raise(SIGKILL);
        errno = disk.error;
        return disk.fault == SHORT ? half : -1;
    }
    if (disk.pause && count > 1 << 16)
        count = 1 << 16;
    if (disk.room >= 0 && disk.written + (long)count > disk.room) {
        count = disk.room - disk.written;
        errno = ENOSPC;
        if (count == 0)
            return -1;
    }
    if (disk.pause)
        usleep(disk.pause);
    return written(REAL(write)(descriptor, bytes, count));
}

static int note_opened(int descriptor, const char *path, int flags)
{
    if (descriptor >= 0 && descriptor < (int)sizeof opened)
        opened[descriptor] = !below(path) ? 0 : (flags & O_ACCMODE) == O_RDONLY ? READ : WRITTEN;
    return descriptor;
}

#define OPEN(name, parameters, arguments)                                                                              \
    int name parameters                                                                                                \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                      \
        va_end(rest);                                                                                                  \
        if (below(path) && (flags & O_ACCMODE) != O_RDONLY && wrong('o'))                                              \
            return -1;                                                                                                 \
        return note_opened(REAL(name) arguments, path, flags);                                                         \
    }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))

int close(int descriptor)
{
    int counts = open_for(descriptor, WRITTEN), fails = counts && wrong('c'), error = errno;
    if (descriptor >= 0 && descriptor < (int)sizeof opened)
        opened[descriptor] = 0;
    int result = REAL(close)(descriptor);
    errno = fails ? error : errno;
    return fails ? -1 : result;
}

int fsync(int descriptor)
{
    if (!open_for(descriptor, READ))
        return REAL(fsync)(descriptor);
    if (wrong('s'))
        return -1;
    if (disk.pause)
        usleep(disk.pause);
    return 0; /* a process that is killed loses nothing of what is not forced: only a power cut would show it */
}

#define NAMING(letter, name, path, parameters, arguments)                                                              \
    int name parameters                                                                                                \
    {                                                                                                                  \
        return below(path) && wrong(letter) ? -1 : REAL(name) arguments;                                               \
    }

NAMING('h', chmod, path, (const char *path, mode_t mode), (path, mode))
NAMING('l', link, to, (const char *from, const char *to), (from, to))
NAMING('l', symlink, to, (const char *from, const char *to), (from, to))
NAMING('m', mkdir, path, (const char *path, mode_t mode), (path, mode))
NAMING('r', rename, to, (const char *from, const char *to), (from, to))
NAMING('u', unlink, path, (const char *path), (path))
NAMING('u', unlinkat, path, (int folder, const char *path, int flags), (folder, path, flags))
NAMING('u', rmdir, path, (const char *path), (path))

/* What writes in ways that are not watched must not be taken for a disk that never fails. */
#define UNWATCHED(type, name, watched, parameters, arguments)                                                          \
    type name parameters                                                                                               \
    {                                                                                                                  \
        if (watched)                                                                                                   \
            raise(SIGABRT);                                                                                            \
        return REAL(name) arguments;                                                                                   \
    }

UNWATCHED(FILE *, fopen, below(path) && mode[0] != 'r', (const char *path, const char *mode), (path, mode))
UNWATCHED(FILE *, fopen64, below(path) && mode[0] != 'r', (const char *path, const char *mode), (path, mode))
UNWATCHED(ssize_t, pwrite64, open_for(file, WRITTEN), (int file, const void *b, size_t n, off64_t at), (file, b, n, at))
UNWATCHED(int, ftruncate64, open_for(file, WRITTEN), (int file, off64_t size), (file, size))
UNWATCHED(ssize_t, sendfile64, open_for(file, WRITTEN), (int file, int in, off64_t *at, size_t n), (file, in, at, n))
