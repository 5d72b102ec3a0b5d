/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/*
 * A disk that fails, for tests: LD_PRELOAD this into awaitd.  It looks at the
 * files that lie directly in one directory, through libc's calls (SQLite
 * calls fdatasync, for directories too), and
 *
 *   - writes down each change and each sync, so that image.py can tell which
 *     bytes and which names a power cut would have left, and cuts the power
 *     before the n-th of them;
 *   - lets the n-th sync, write or allocation fail, once or from then on;
 *   - makes every sync or write slow;
 *   - takes synchronous=FULL away, to see that the tests notice.
 *
 * Environment (absent = off); in programs that are not awaitd it does nothing:
 *   FAULT_DIR     the directory, an absolute path without links
 *   FAULT_LOG     where to write down what happens; syncs are then only noted
 *   FAULT_CUT     SIGKILL before the n-th change or sync
 *   FAULT_SYNC_US how long a sync takes, beyond what it takes
 *   FAULT_WRITE_US how long a write takes
 *   FAULT_FAIL    "sync", "write", "sqlite-memory", "memory": what is to fail
 *   FAULT_AT      which one, counted from 1; or, of allocations,
 *   FAULT_STACK   the first with this call stack, by the number that it has in
 *   FAULT_STACKS  a file to which each call stack that allocates is added, in
 *                 hexadecimal, a line each, when it is first seen
 *   FAULT_LASTS   if set, all after it fail too
 *   FAULT_ERRNO   as a number (EIO)
 *   FAULT_FIRED   a file that is made when something fails, with the call stack,
 *                 and behind that the one of a crash
 *   FAULT_NORMAL  if set, synchronous is NORMAL
 */

enum fail_what { FAIL_NOTHING, FAIL_SYNC, FAIL_WRITE, FAIL_SQLITE_MEMORY, FAIL_MEMORY };

/* One change, as image.py reads it: this, the name, the data. */
struct record {
	char op; /* see there */
	char pad[3];
	uint32_t name_len;
	uint64_t data_len, inode, at;
};

#define STACK_DEPTH 64	      /* beyond that two are the same */
#define STACK_SLOTS (1 << 16) /* a power of 2, many times the call stacks there are */

struct sqlite3;
typedef int exec_fn(struct sqlite3 *db, const char *sql,
		    int (*on_row)(void *, int, char **, char **), void *arg, char **ret_message);
exec_fn sqlite3_exec;

static struct {
	bool is_on;
	char dir[PATH_MAX];
	size_t dir_len;
	int log_fd;
	uint64_t cut_at, n_changes;
	useconds_t sync_us, write_us;
	enum fail_what what;
	uint64_t fail_at, n_seen;
	uint64_t fail_stack;
	int stacks_fd;
	bool lasts, is_fired;
	int error;
	const char *fired;
	bool is_normal;
	uintptr_t sqlite_begin, sqlite_end;
	exec_fn *real_exec;
} shim = { .log_fd = -1, .stacks_fd = -1, .error = EIO };

/* A change and its record belong together, and so does their order. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- set up ---- */

static uint64_t number_from(const char *name)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* -1 = there is none. */
static int open_log(const char *name)
{
	const char *path = getenv(name);

	return path ? (int)syscall(SYS_openat, AT_FDCWD, path,
				   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)
		    : -1;
}

static enum fail_what what_fails(void)
{
	static const char *const names[] = {
		[FAIL_SYNC] = "sync",
		[FAIL_WRITE] = "write",
		[FAIL_SQLITE_MEMORY] = "sqlite-memory",
		[FAIL_MEMORY] = "memory",
	};
	const char *text = getenv("FAULT_FAIL");

	for (size_t i = 1; text && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], text) == 0)
			return (enum fail_what)i;
	return FAIL_NOTHING;
}

/* Where SQLite's code lies. */
static int note_library(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	if (!strstr(info->dlpi_name, "/libsqlite3.so"))
		return 0;
	shim.sqlite_begin = info->dlpi_addr;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t end = info->dlpi_addr + part->p_vaddr + part->p_memsz;

		if (part->p_type == PT_LOAD && end > shim.sqlite_end)
			shim.sqlite_end = end;
	}
	return 1;
}

/* ---- what fails ---- */

static void tell_stack(const char *title)
{
	void *pcs[STACK_DEPTH];
	int fd;

	if (!shim.fired)
		return;
	fd = (int)syscall(SYS_openat, AT_FDCWD, shim.fired,
			  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	(void)!syscall(SYS_write, fd, title, strlen(title));
	backtrace_symbols_fd(pcs, backtrace(pcs, STACK_DEPTH), fd);
	syscall(SYS_close, fd);
}

static void tell_fired(void)
{
	tell_stack("what failed:\n");
}

/* SA_RESETHAND: it happens again when we return, and ends the program as it should. */
static void on_crash(int signo)
{
	(void)signo;
	tell_stack("the crash:\n");
}

static void watch_crashes(void)
{
	struct sigaction sa = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER };

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* Whether this one is to fail; errno is set then. */
static bool fails(enum fail_what what)
{
	uint64_t n;

	if (shim.what != what)
		return false;
	n = __atomic_add_fetch(&shim.n_seen, 1, __ATOMIC_RELAXED);
	if (n != shim.fail_at && !(shim.lasts && n > shim.fail_at))
		return false;
	if (n == shim.fail_at)
		tell_fired();
	errno = what == FAIL_SQLITE_MEMORY || what == FAIL_MEMORY ? ENOMEM : shim.error;
	return true;
}

/* ---- the beginning ---- */

__attribute__((constructor)) static void set_up(void)
{
	const char *dir = getenv("FAULT_DIR"), *stack = getenv("FAULT_STACK");
	void *warm_up[1];

	/* These take memory themselves: before any of it fails. */
	*(void **)&shim.real_exec = dlsym(RTLD_NEXT, "sqlite3_exec");
	backtrace(warm_up, 1);
	dl_iterate_phdr(note_library, NULL);
	if (!dir || strcmp(program_invocation_short_name, "awaitd") != 0)
		return;
	shim.dir_len = strlen(dir);
	memcpy(shim.dir, dir, shim.dir_len + 1);
	shim.log_fd = open_log("FAULT_LOG");
	shim.cut_at = number_from("FAULT_CUT");
	shim.sync_us = (useconds_t)number_from("FAULT_SYNC_US");
	shim.write_us = (useconds_t)number_from("FAULT_WRITE_US");
	shim.what = what_fails();
	shim.fail_at = number_from("FAULT_AT");
	shim.fail_stack = stack ? strtoull(stack, NULL, 16) : 0;
	shim.stacks_fd = open_log("FAULT_STACKS");
	shim.lasts = getenv("FAULT_LASTS") != NULL;
	if (getenv("FAULT_ERRNO"))
		shim.error = (int)number_from("FAULT_ERRNO");
	shim.fired = getenv("FAULT_FIRED");
	shim.is_normal = getenv("FAULT_NORMAL") != NULL;
	if (shim.fired)
		watch_crashes();
	shim.is_on = true;
}

/* ---- call stacks ---- */

/* Not 0; the same wherever the libraries lie. */
static uint64_t number_of_stack(void)
{
	void *pcs[STACK_DEPTH];
	int n = backtrace(pcs, STACK_DEPTH);
	uint64_t hash = 0xcbf29ce484222325;

	for (int i = 0; i < n; i++) {
		struct dl_find_object where;
		uintptr_t pc = (uintptr_t)pcs[i];

		/* Beyond the beginning of a coroutine's stack there is nothing to find. */
		if (_dl_find_object(pcs[i], &where) < 0)
			break;
		pc = pc - (uintptr_t)where.dlfo_map_start +
		     ((uintptr_t)where.dlfo_map_end - (uintptr_t)where.dlfo_map_start) * 4096;
		hash = (hash ^ pc) * 0x9e3779b97f4a7c15;
		hash ^= hash >> 29;
	}
	return hash ? hash : 1;
}

/* Whether it is one that was not seen before; it is written down then. */
static bool is_new_stack(uint64_t number)
{
	static uint64_t seen[STACK_SLOTS];
	static int n_seen;
	char line[24];
	size_t at = number % STACK_SLOTS;
	int len;

	while (seen[at] && seen[at] != number)
		at = (at + 1) % STACK_SLOTS;
	if (seen[at] == number)
		return false;
	if (++n_seen > STACK_SLOTS / 2)
		abort();
	seen[at] = number;
	len = snprintf(line, sizeof(line), "%016llx\n", (unsigned long long)number);
	if (shim.stacks_fd >= 0 && syscall(SYS_write, shim.stacks_fd, line, len) != len)
		abort();
	return true;
}

/* Once one has failed nobody asks for the others. */
static bool stack_fails(void)
{
	static __thread bool is_asking __attribute__((tls_model("initial-exec")));
	bool is_new, is_it = false;
	uint64_t number;

	if (is_asking)
		return false;
	is_asking = true;
	if (!__atomic_load_n(&shim.is_fired, __ATOMIC_RELAXED)) {
		number = number_of_stack();
		pthread_mutex_lock(&lock);
		is_new = !shim.is_fired && is_new_stack(number);
		is_it = is_new && number == shim.fail_stack;
		if (is_it) {
			tell_fired();
			shim.is_fired = true;
		}
		pthread_mutex_unlock(&lock);
	} else {
		is_it = shim.lasts;
	}
	is_asking = false;
	return is_it;
}

static bool memory_fails(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;
	bool is_sqlite = at >= shim.sqlite_begin && at < shim.sqlite_end;

	if (!shim.is_on || shim.what < FAIL_SQLITE_MEMORY)
		return false;
	if (shim.stacks_fd < 0)
		return fails(is_sqlite ? FAIL_SQLITE_MEMORY : FAIL_MEMORY);
	if (is_sqlite != (shim.what == FAIL_SQLITE_MEMORY) || !stack_fails())
		return false;
	errno = ENOMEM;
	return true;
}

/* ---- memory ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return memory_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

/* ---- which files ---- */

/* The name of @fd in our directory, "" for the directory itself; false: not ours. */
static bool is_ours(int fd, char name[NAME_MAX + 1])
{
	char link[64], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < (ssize_t)shim.dir_len || memcmp(path, shim.dir, shim.dir_len) != 0)
		return false;
	path[n] = '\0';
	if ((size_t)n == shim.dir_len) {
		name[0] = '\0';
		return true;
	}
	if (path[shim.dir_len] != '/' || strchr(path + shim.dir_len + 1, '/'))
		return false;
	snprintf(name, NAME_MAX + 1, "%.*s", NAME_MAX, path + shim.dir_len + 1);
	return true;
}

/* The inode of a regular file of ours, else 0. */
static uint64_t inode_of(int fd)
{
	char name[NAME_MAX + 1];
	struct stat st;
	int saved = errno;
	uint64_t inode = 0;

	if (shim.is_on && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_ours(fd, name) && *name)
		inode = st.st_ino;
	errno = saved;
	return inode;
}

/* What @path, seen from @at, is called in our directory; NULL: it is not there. */
static const char *name_of(int at, const char *path)
{
	char name[NAME_MAX + 1];

	if (!shim.is_on)
		return NULL;
	if (path[0] == '/')
		return strncmp(path, shim.dir, shim.dir_len) == 0 && path[shim.dir_len] == '/' &&
				       !strchr(path + shim.dir_len + 1, '/')
			       ? path + shim.dir_len + 1
			       : NULL;
	return at != AT_FDCWD && !strchr(path, '/') && is_ours(at, name) && !*name ? path : NULL;
}

/* ---- what happens ---- */

/* Under the lock, before a change: this may be where the power goes. */
static void may_cut(void)
{
	if (shim.cut_at && ++shim.n_changes == shim.cut_at) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause();
	}
}

static void record(char op, uint64_t inode, const char *name, uint64_t at, const void *data,
		   size_t data_len)
{
	struct record r = {
		.op = op,
		.name_len = (uint32_t)strlen(name),
		.data_len = data_len,
		.inode = inode,
		.at = at,
	};
	struct iovec parts[] = {
		{ &r, sizeof(r) },
		{ (void *)(uintptr_t)name, r.name_len },
		{ (void *)(uintptr_t)data, data_len },
	};
	int saved = errno;

	if (shim.log_fd >= 0 &&
	    syscall(SYS_writev, shim.log_fd, parts, 3) != (long)(sizeof(r) + r.name_len + data_len))
		abort(); /* a half-told story would convict an innocent */
	errno = saved;
}

/* ---- syncs ---- */

static void take_time(useconds_t us)
{
	struct timespec t = {
		.tv_sec = (time_t)(us / 1000000),
		.tv_nsec = (long)(us % 1000000) * 1000,
	};

	if (us)
		nanosleep(&t, NULL);
}

static int sync_fd(int fd, long call)
{
	char name[NAME_MAX + 1];
	struct stat st;
	bool is_failed;

	if (!shim.is_on || fstat(fd, &st) < 0 || !is_ours(fd, name))
		return (int)syscall(call, fd);
	take_time(shim.sync_us);
	is_failed = fails(FAIL_SYNC);
	if (shim.log_fd < 0)
		return is_failed ? -1 : (int)syscall(call, fd);
	pthread_mutex_lock(&lock);
	may_cut();
	if (is_failed)
		record('F', st.st_ino, "", 0, NULL, 0);
	else
		record(*name ? 'S' : 'D', st.st_ino, "", 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return is_failed ? -1 : 0;
}

int fdatasync(int fd)
{
	return sync_fd(fd, SYS_fdatasync);
}

int fsync(int fd)
{
	return sync_fd(fd, SYS_fsync);
}

/* ---- writes ---- */

static ssize_t write_at(int fd, const void *data, size_t len, off_t at)
{
	uint64_t inode = inode_of(fd);
	ssize_t n;

	if (!inode)
		return syscall(SYS_pwrite64, fd, data, len, at);
	take_time(shim.write_us);
	if (fails(FAIL_WRITE))
		return -1;
	pthread_mutex_lock(&lock);
	may_cut();
	n = syscall(SYS_pwrite64, fd, data, len, at);
	if (n > 0)
		record('W', inode, "", (uint64_t)at, data, (size_t)n);
	pthread_mutex_unlock(&lock);
	return n;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	return write_at(fd, data, len, at);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	return write_at(fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len)
{
	uint64_t inode = inode_of(fd);
	struct stat st;
	off_t at;
	ssize_t n;

	if (!inode)
		return syscall(SYS_write, fd, data, len);
	take_time(shim.write_us);
	if (fails(FAIL_WRITE))
		return -1;
	pthread_mutex_lock(&lock);
	may_cut();
	at = lseek(fd, 0, SEEK_CUR);
	if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &st) == 0)
		at = st.st_size;
	n = syscall(SYS_write, fd, data, len);
	if (n > 0)
		record('W', inode, "", (uint64_t)at, data, (size_t)n);
	pthread_mutex_unlock(&lock);
	return n;
}

static int truncate_fd(int fd, off_t size)
{
	uint64_t inode = inode_of(fd);
	int r;

	if (!inode)
		return (int)syscall(SYS_ftruncate, fd, size);
	if (fails(FAIL_WRITE))
		return -1;
	pthread_mutex_lock(&lock);
	may_cut();
	r = (int)syscall(SYS_ftruncate, fd, size);
	if (r == 0)
		record('T', inode, "", (uint64_t)size, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int ftruncate(int fd, off_t size)
{
	return truncate_fd(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
	return truncate_fd(fd, size);
}

static int allocate_fd(int fd, int mode, off_t at, off_t len)
{
	uint64_t inode = inode_of(fd);
	int r;

	if (!inode)
		return (int)syscall(SYS_fallocate, fd, mode, at, len);
	if (fails(FAIL_WRITE))
		return -1;
	pthread_mutex_lock(&lock);
	may_cut();
	r = (int)syscall(SYS_fallocate, fd, mode, at, len);
	if (r == 0 && mode == 0)
		record('G', inode, "", (uint64_t)(at + len), NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
	return allocate_fd(fd, mode, at, len);
}

int posix_fallocate(int fd, off_t at, off_t len)
{
	return allocate_fd(fd, 0, at, len) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t at, off64_t len)
{
	return posix_fallocate(fd, at, len);
}

/* ---- names ---- */

static int open_file(int at, const char *path, int flags, mode_t mode)
{
	const char *name = flags & (O_CREAT | O_TRUNC) ? name_of(at, path) : NULL;
	struct stat before, after;
	bool was_there;
	int fd;

	if (!name)
		return (int)syscall(SYS_openat, at, path, flags, mode);
	pthread_mutex_lock(&lock);
	was_there = fstatat(at, path, &before, 0) == 0;
	if (!was_there || (flags & O_TRUNC))
		may_cut();
	fd = (int)syscall(SYS_openat, at, path, flags, mode);
	if (fd >= 0 && fstat(fd, &after) == 0) {
		if (!was_there)
			record('C', after.st_ino, name, 0, NULL, 0);
		else if (flags & O_TRUNC)
			record('T', after.st_ino, "", 0, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

static mode_t mode_from(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

int openat(int at, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_from(flags, ap);
	va_end(ap);
	return open_file(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_from(flags, ap);
	va_end(ap);
	return open_file(at, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_from(flags, ap);
	va_end(ap);
	return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_from(flags, ap);
	va_end(ap);
	return open_file(AT_FDCWD, path, flags, mode);
}

/* Within the directory; whoever moves a file in or out of it is not understood. */
static int rename_file(int at, const char *from, int to_at, const char *to, unsigned flags)
{
	const char *old = name_of(at, from), *new = name_of(to_at, to);
	char both[2 * NAME_MAX + 2];
	int r;

	if (!old && !new)
		return (int)syscall(SYS_renameat2, at, from, to_at, to, flags);
	if (!old || !new)
		abort();
	snprintf(both, sizeof(both), "%s/%s", old, new);
	pthread_mutex_lock(&lock);
	may_cut();
	r = (int)syscall(SYS_renameat2, at, from, to_at, to, flags);
	if (r == 0)
		record('R', 0, both, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int rename(const char *from, const char *to)
{
	return rename_file(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int at, const char *from, int to_at, const char *to)
{
	return rename_file(at, from, to_at, to, 0);
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
	return rename_file(at, from, to_at, to, flags);
}

static int unlink_file(int at, const char *path, int flags)
{
	const char *name = flags & AT_REMOVEDIR ? NULL : name_of(at, path);
	int r;

	if (!name)
		return (int)syscall(SYS_unlinkat, at, path, flags);
	pthread_mutex_lock(&lock);
	may_cut();
	r = (int)syscall(SYS_unlinkat, at, path, flags);
	if (r == 0)
		record('U', 0, name, 0, NULL, 0);
	pthread_mutex_unlock(&lock);
	return r;
}

int unlink(const char *path)
{
	return unlink_file(AT_FDCWD, path, 0);
}

int unlinkat(int at, const char *path, int flags)
{
	return unlink_file(at, path, flags);
}

/* ---- SQLite ---- */

/* The daemon asks for FULL; what it gets is NORMAL. */
int sqlite3_exec(struct sqlite3 *db, const char *sql, int (*on_row)(void *, int, char **, char **),
		 void *arg, char **ret_message)
{
	static const char full[] = "synchronous = FULL";
	const char *at = shim.is_normal ? strstr(sql, full) : NULL;
	char changed[1024];

	if (at)
		snprintf(changed, sizeof(changed), "%.*ssynchronous = NORMAL%s", (int)(at - sql),
			 sql, at + sizeof(full) - 1);
	return shim.real_exec(db, at ? changed : sql, on_row, arg, ret_message);
}
