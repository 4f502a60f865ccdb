/* What a program does to the files below one folder, recorded or made to fail: an LD_PRELOAD library for Linux.
 *
 *   IOLOG_ROOT  absolute path of the folder, without symbolic links
 *   IOLOG_FILE  where to record; without it nothing is recorded
 *
 * The program under test talks to it by writing to two descriptors that cannot exist:
 *   ACK_FD      the bytes become a mark in the record: "so far it was told the owner that it is done"
 *   CONTROL_FD  "off", or "OPS NTH ERRNO MODE [PATH]": of the operations OPS (names joined by |) on paths that contain
 *               PATH, the NTH from now fails with ERRNO. MODE: once | on (and all after it) | short (half of a write is
 *               done, then as on) | kill (the process dies there, before the operation). The call returns how many such
 *               operations were seen since the last one.
 *
 * A record is a `struct entry` in the machine's byte order, then the path, then the data. Operations of several threads
 * are recorded in the order in which they took effect. Descriptors are looked up in /proc, so that duplicated and
 * inherited ones count as well. System calls are made directly: SQLite and Python both call libc, and only libc is
 * replaced. What changes files in a way that is not modelled is recorded as OTHER, and a test must refuse it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ACK_FD = -77, CONTROL_FD = -78 };

enum op {
  ACK, OPEN, CREATE, WRITE, TRUNCATE, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, CLOSE, OTHER, N_OPS
};

static const char *const names[N_OPS] = {
  "ack", "open", "create", "write", "truncate", "sync", "rename", "link", "unlink", "mkdir", "rmdir", "close", "other"
};

struct entry {
  uint32_t op;
  int32_t pid;
  uint64_t inode;
  uint64_t offset; /* of a write; the new size of a truncation */
  uint32_t path_bytes;
  uint32_t data_bytes; /* of a rename or link: the new path */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int record_fd = -1;

static struct {
  unsigned ops;
  long nth, seen;
  int error, on, shorten, die;
  char path[PATH_MAX];
} fault;

__attribute__((constructor)) static void start(void) {
  const char *folder = getenv("IOLOG_ROOT"), *file = getenv("IOLOG_FILE");
  if (folder && strlen(folder) < sizeof root) {
    strcpy(root, folder);
    root_len = strlen(root);
  }
  if (root_len && file)
    record_fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* A child of fork must not wait for a thread that it does not have. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
__attribute__((constructor)) static void forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

/* Paths ---------------------------------------------------------------------------------------------------------- */

static int is_ours(const char *path) {
  return root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || !path[root_len]);
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[n > 0 ? n : 0] = 0;
  return n > 0 && is_ours(path);
}

/* Absolute form of a path as it was given; 0 if it is none of ours. */
static int resolve(int folder, const char *given, char *path) {
  if (given[0] == '/') {
    if (strlen(given) >= PATH_MAX) return 0;
    strcpy(path, given);
    return is_ours(path);
  }
  char base[PATH_MAX];
  if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(folder, base)) return 0;
  int n = snprintf(path, PATH_MAX, "%s/%s", base, given);
  return n < PATH_MAX && is_ours(path);
}

static uint64_t inode_of(int fd, struct stat *found) {
  return fstat(fd, found) ? 0 : (uint64_t)found->st_ino;
}

/* Recording ------------------------------------------------------------------------------------------------------ */

static void record(enum op op, const char *path, uint64_t inode, uint64_t offset, const void *data, size_t n) {
  if (record_fd < 0) return;
  int before = errno;
  struct entry e = { op, getpid(), inode, offset, (uint32_t)strlen(path), (uint32_t)n };
  struct iovec parts[3] = { { &e, sizeof e }, { (void *)path, e.path_bytes }, { (void *)data, n } };
  long want = (long)(sizeof e + e.path_bytes + n);
  if (syscall(SYS_writev, record_fd, parts, 3) != want) {
    static const char words[] = "iolog: the record cannot be written\n";
    syscall(SYS_write, 2, words, sizeof words - 1);
    abort();
  }
  errno = before;
}

/* Faults --------------------------------------------------------------------------------------------------------- */

static long control(const char *text, size_t n) {
  char copy[PATH_MAX + 128] = { 0 }, ops[128] = "", mode[16] = "", path[PATH_MAX] = "", *rest;
  long seen = fault.seen, nth = 0;
  int error = 0;
  if (n >= sizeof copy) return errno = EINVAL, -1;
  memcpy(copy, text, n);
  memset(&fault, 0, sizeof fault);
  if (!strcmp(copy, "off")) return seen;
  if (sscanf(copy, "%127s %ld %d %15s %4095s", ops, &nth, &error, mode, path) < 4) return errno = EINVAL, -1;
  for (char *name = strtok_r(ops, "|", &rest); name; name = strtok_r(NULL, "|", &rest))
    for (unsigned i = 0; i < N_OPS; i++)
      if (!strcmp(name, names[i])) fault.ops |= 1u << i;
  fault.nth = nth;
  fault.error = error;
  fault.shorten = !strcmp(mode, "short");
  fault.on = fault.shorten || !strcmp(mode, "on");
  fault.die = !strcmp(mode, "kill");
  strcpy(fault.path, path);
  return seen;
}

/* Whether this operation shall fail: 0 no, 1 yes, 2 after half of it. */
static int fails(enum op op, const char *path) {
  if (!(fault.ops & (1u << op)) || !strstr(path, fault.path)) return 0;
  long n = ++fault.seen;
  if (n < fault.nth || (n > fault.nth && !fault.on)) return 0;
  if (fault.die) syscall(SYS_kill, getpid(), SIGKILL);
  errno = fault.error;
  return n == fault.nth && fault.shorten ? 2 : 1;
}

/* What is replaced ------------------------------------------------------------------------------------------------ */

static int do_open(int folder, const char *given, int flags, mode_t mode) {
  char path[PATH_MAX];
  if (!resolve(folder, given, path)) return (int)syscall(SYS_openat, folder, given, flags, mode);
  pthread_mutex_lock(&lock);
  struct stat found;
  int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
  int fd = -1;
  if (!fails(OPEN, path) && !(is_new && fails(CREATE, path))) {
    fd = (int)syscall(SYS_openat, folder, given, flags, mode);
    if (fd >= 0 && (is_new || (flags & O_TRUNC)))
      record(is_new ? CREATE : TRUNCATE, path, inode_of(fd, &found), 0, NULL, 0);
    if (fd >= 0 && (flags & O_TMPFILE) == O_TMPFILE) record(OTHER, path, 0, 0, "tmpfile", 7);
  }
  pthread_mutex_unlock(&lock);
  return fd;
}

static mode_t mode_of(int flags, va_list rest) {
  return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPENER(NAME)                                                                                                   \
  int NAME(const char *path, int flags, ...) {                                                                         \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode_t mode = mode_of(flags, rest);                                                                                \
    va_end(rest);                                                                                                      \
    return do_open(AT_FDCWD, path, flags, mode);                                                                       \
  }
#define OPENER_AT(NAME)                                                                                                \
  int NAME(int folder, const char *path, int flags, ...) {                                                             \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode_t mode = mode_of(flags, rest);                                                                                \
    va_end(rest);                                                                                                      \
    return do_open(folder, path, flags, mode);                                                                         \
  }
OPENER(open)
OPENER(open64)
OPENER_AT(openat)
OPENER_AT(openat64)
int __open_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return do_open(AT_FDCWD, path, flags, 0); }
int __openat_2(int folder, const char *path, int flags) { return do_open(folder, path, flags, 0); }
int __openat64_2(int folder, const char *path, int flags) { return do_open(folder, path, flags, 0); }
int creat(const char *path, mode_t mode) { return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
  char path[PATH_MAX];
  if (!fault.ops || !path_of(fd, path)) return (int)syscall(SYS_close, fd);
  pthread_mutex_lock(&lock);
  int refused = fails(CLOSE, path), error = errno;
  /* Linux closes the descriptor also when it reports an error. */
  int result = (int)syscall(SYS_close, fd);
  if (refused) errno = error, result = -1;
  pthread_mutex_unlock(&lock);
  return result;
}

/* `at` is -1 for the descriptor's own position. */
static ssize_t do_write(int fd, const void *data, size_t n, off_t at) {
  char path[PATH_MAX];
  if (fd == ACK_FD || fd == CONTROL_FD) {
    pthread_mutex_lock(&lock);
    ssize_t result = (ssize_t)n;
    if (fd == ACK_FD) record(ACK, "", 0, 0, data, n);
    else result = control(data, n);
    pthread_mutex_unlock(&lock);
    return result;
  }
  if (!path_of(fd, path))
    return at < 0 ? syscall(SYS_write, fd, data, n) : syscall(SYS_pwrite64, fd, data, n, at);
  pthread_mutex_lock(&lock);
  struct stat found;
  uint64_t inode = inode_of(fd, &found);
  ssize_t done = -1;
  int refused = fails(WRITE, path);
  if (refused != 1) {
    size_t wanted = refused == 2 && n > 1 ? n / 2 : n;
    int to_end = at < 0 && (fcntl(fd, F_GETFL) & O_APPEND);
    off_t start = at >= 0 ? at : to_end ? found.st_size : lseek(fd, 0, SEEK_CUR);
    done = at < 0 ? syscall(SYS_write, fd, data, wanted) : syscall(SYS_pwrite64, fd, data, wanted, at);
    if (done > 0) record(WRITE, path, inode, (uint64_t)start, data, (size_t)done);
  }
  pthread_mutex_unlock(&lock);
  return done;
}

ssize_t write(int fd, const void *data, size_t n) { return do_write(fd, data, n, -1); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return do_write(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return do_write(fd, data, n, at); }

ssize_t writev(int fd, const struct iovec *parts, int n_parts) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return syscall(SYS_writev, fd, parts, n_parts);
  /* Fewer bytes than asked for is a lawful answer, and callers must go on with the rest. */
  for (int i = 0; i < n_parts; i++)
    if (parts[i].iov_len) return do_write(fd, parts[i].iov_base, parts[i].iov_len, -1);
  return 0;
}

static int do_truncate(int fd, off_t size) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
  pthread_mutex_lock(&lock);
  struct stat found;
  int result = fails(TRUNCATE, path) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
  if (!result) record(TRUNCATE, path, inode_of(fd, &found), (uint64_t)size, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
int ftruncate64(int fd, off64_t size) { return do_truncate(fd, size); }

int truncate(const char *given, off_t size) {
  char path[PATH_MAX];
  if (!resolve(AT_FDCWD, given, path)) return (int)syscall(SYS_truncate, given, size);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, given, O_WRONLY | O_CLOEXEC, 0);
  if (fd < 0) return -1;
  int result = do_truncate(fd, size), error = errno;
  syscall(SYS_close, fd);
  errno = error;
  return result;
}
int truncate64(const char *path, off64_t size) { return truncate(path, size); }

/* Of our files it is only recorded: nobody cuts this machine's power, and the tests need not wait for its disk. */
static int do_sync(int fd, long call) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return (int)syscall(call, fd);
  pthread_mutex_lock(&lock);
  struct stat found;
  int result = fails(SYNC, path) ? -1 : 0;
  if (!result) record(SYNC, path, inode_of(fd, &found), 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

static int do_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  char old[PATH_MAX], new[PATH_MAX];
  int ours = resolve(from_folder, from, old) | resolve(to_folder, to, new);
  if (!ours) return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  pthread_mutex_lock(&lock);
  int result = fails(RENAME, old) ? -1 : (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  if (!result) record(flags ? OTHER : RENAME, old, 0, 0, new, strlen(new));
  pthread_mutex_unlock(&lock);
  return result;
}

int rename(const char *from, const char *to) { return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int a, const char *from, int b, const char *to) { return do_rename(a, from, b, to, 0); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
  return do_rename(a, from, b, to, flags);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  char old[PATH_MAX], new[PATH_MAX];
  int ours = resolve(from_folder, from, old) | resolve(to_folder, to, new);
  if (!ours) return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  pthread_mutex_lock(&lock);
  int result = fails(LINK, new) ? -1 : (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  if (!result) record(LINK, old, 0, 0, new, strlen(new));
  pthread_mutex_unlock(&lock);
  return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

static int do_unlink(int folder, const char *given, int flags) {
  char path[PATH_MAX];
  if (!resolve(folder, given, path)) return (int)syscall(SYS_unlinkat, folder, given, flags);
  pthread_mutex_lock(&lock);
  enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
  int result = fails(op, path) ? -1 : (int)syscall(SYS_unlinkat, folder, given, flags);
  if (!result) record(op, path, 0, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int unlink(const char *path) { return do_unlink(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return do_unlink(folder, path, flags); }
int rmdir(const char *path) { return do_unlink(AT_FDCWD, path, AT_REMOVEDIR); }

static int do_mkdir(int folder, const char *given, mode_t mode) {
  char path[PATH_MAX];
  if (!resolve(folder, given, path)) return (int)syscall(SYS_mkdirat, folder, given, mode);
  pthread_mutex_lock(&lock);
  int result = fails(MKDIR, path) ? -1 : (int)syscall(SYS_mkdirat, folder, given, mode);
  if (!result) record(MKDIR, path, 0, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  return result;
}

int mkdir(const char *path, mode_t mode) { return do_mkdir(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return do_mkdir(folder, path, mode); }

/* Done, and told: no test may pass over what it does not understand. ----------------------------------------------- */

static void other(const char *what, const char *path) {
  pthread_mutex_lock(&lock);
  record(OTHER, path, 0, 0, what, strlen(what));
  pthread_mutex_unlock(&lock);
}

static void other_fd(const char *what, int fd) {
  char path[PATH_MAX];
  if (path_of(fd, path)) other(what, path);
}

static void other_name(const char *what, int folder, const char *given) {
  char path[PATH_MAX];
  if (resolve(folder, given, path)) other(what, path);
}

int symlinkat(const char *target, int folder, const char *path) {
  other_name("symlink", folder, path);
  return (int)syscall(SYS_symlinkat, target, folder, path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
int fallocate(int fd, int mode, off_t at, off_t n) {
  other_fd("fallocate", fd);
  return (int)syscall(SYS_fallocate, fd, mode, at, n);
}
int fallocate64(int fd, int mode, off64_t at, off64_t n) { return fallocate(fd, mode, at, n); }
int posix_fallocate(int fd, off_t at, off_t n) {
  return fallocate(fd, 0, at, n) ? errno : 0;
}
int posix_fallocate64(int fd, off64_t at, off64_t n) { return posix_fallocate(fd, at, n); }
/* Refused, as on file systems that cannot do it; who calls them must go on with reading and writing. */
static int copies_into_ours(int fd) {
  char path[PATH_MAX];
  int ours = path_of(fd, path);
  if (ours) errno = EINVAL;
  return ours;
}

ssize_t sendfile(int to, int from, off_t *at, size_t n) {
  return copies_into_ours(to) ? -1 : syscall(SYS_sendfile, to, from, at, n);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t n) { return sendfile(to, from, at, n); }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
  return copies_into_ours(to) ? -1 : syscall(SYS_copy_file_range, from, a, to, b, n, flags);
}
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) {
  other_fd("pwritev", fd);
  return syscall(SYS_pwritev, fd, parts, n, at, 0);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) { return pwritev(fd, parts, n, at); }
void *mmap(void *where, size_t n, int protection, int flags, int fd, off_t at) {
  if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED)) other_fd("mmap", fd);
  return (void *)syscall(SYS_mmap, where, n, protection, flags, fd, at);
}
void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at) {
  return mmap(where, n, protection, flags, fd, at);
}
