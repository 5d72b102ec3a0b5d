/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/tree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/xalloc.h"

/* No real tree is this big; it bounds what a fork bomb makes us remember. */
#define TREE_MAX 100000
#define ENVIRON_MAX_BYTES (512 * 1024)
#define POLL_MS 20

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* All of a small file, at most @size - 1 bytes of it, terminated. */
static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
	int fd = open_proc(pid, name);
	size_t n = 0;
	ssize_t r = 0;

	if (fd < 0)
		return fd;
	while (n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0)
		n += (size_t)r;
	if (r < 0)
		r = -errno;
	close(fd);
	buf[n] = '\0';
	return r < 0 ? r : (ssize_t)n;
}

int tree_read_stat(pid_t pid, struct tree_stat *ret)
{
	char text[1024];
	struct tree_stat st;
	int ppid, pgrp, session;
	const char *p;
	ssize_t n = read_proc(pid, "stat", text, sizeof(text));

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	/*
	 * The name may hold anything, brackets and spaces too: what counts comes after the
	 * last one.
	 */
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1, " %c %d %d %d", &st.state, &ppid, &pgrp, &session) != 4)
		return -ESRCH;
	/* Field 3 is behind the first space from here, 22 behind the twentieth. */
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (!p || sscanf(p, " %" SCNu64, &st.start_ticks) != 1)
		return -ESRCH;
	st.ppid = ppid;
	st.pgrp = pgrp;
	st.session = session;
	*ret = st;
	return 0;
}

void tree_pids_fini(struct tree_pids *p)
{
	free(p->pids);
	*p = (struct tree_pids){ 0 };
}

void tree_pids_add(struct tree_pids *p, pid_t pid)
{
	if (p->n == p->size) {
		p->size = p->size ? p->size * 2 : 16;
		p->pids = xreallocarray(p->pids, p->size, sizeof(*p->pids));
	}
	p->pids[p->n++] = pid;
}

static bool has_pid(const struct tree_pids *p, pid_t pid)
{
	for (size_t i = 0; p && i < p->n; i++)
		if (p->pids[i] == pid)
			return true;
	return false;
}

static bool is_number(const char *s)
{
	return isdigit((unsigned char)s[0]);
}

static void add_numbers(const char *text, struct tree_pids *ret)
{
	char *end;

	for (;;) {
		long pid = strtol(text, &end, 10);

		if (end == text)
			return;
		tree_pids_add(ret, (pid_t)pid);
		text = end;
	}
}

static char *read_whole(int fd)
{
	size_t size = 4096, n = 0;
	char *text = xmalloc(size);
	ssize_t r;

	while ((r = read(fd, text + n, size - n - 1)) > 0) {
		n += (size_t)r;
		if (size - n - 1 == 0)
			text = xrealloc(text, size *= 2);
	}
	text[n] = '\0';
	return text;
}

/*
 * The kernel lists children by thread.  -ENOENT: it was built without that, or the process
 * is gone.
 */
static int children_by_thread(pid_t pid, struct tree_pids *ret)
{
	char name[64];
	const struct dirent *e;
	int fd = open_proc(pid, "task"), r = -ENOENT;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -ENOENT;
	}
	while ((e = readdir(dir))) {
		cleanup_free char *text = NULL;
		int list;

		if (!is_number(e->d_name))
			continue;
		snprintf(name, sizeof(name), "%.20s/children", e->d_name);
		list = openat(dirfd(dir), name, O_RDONLY | O_CLOEXEC);
		if (list < 0)
			continue;
		r = 0;
		text = read_whole(list);
		close(list);
		add_numbers(text, ret);
	}
	closedir(dir);
	return r;
}

static int each_process(void (*fn)(void *arg, pid_t pid), void *arg)
{
	const struct dirent *e;
	DIR *dir = opendir("/proc");

	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		if (is_number(e->d_name))
			fn(arg, (pid_t)strtol(e->d_name, NULL, 10));
	closedir(dir);
	return 0;
}

struct by_parent {
	pid_t parent;
	struct tree_pids *ret;
};

static void add_if_child(void *arg, pid_t pid)
{
	const struct by_parent *by = arg;
	struct tree_stat st;

	if (tree_read_stat(pid, &st) == 0 && st.ppid == by->parent)
		tree_pids_add(by->ret, pid);
}

static bool kernel_lists_children(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	return access(path, R_OK) == 0;
}

int tree_children(pid_t pid, struct tree_pids *ret)
{
	struct by_parent by = { pid, ret };

	if (children_by_thread(pid, ret) == 0 || kernel_lists_children())
		return 0;
	return each_process(add_if_child, &by);
}

static int pidfd_open_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

static int pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

/* Where the kernel (or a filter, which says EPERM) has no pidfds the number has to do. */
static bool has_no_pidfd(int error)
{
	return error == -ENOSYS || error == -EPERM || error == -EINVAL;
}

/*
 * Signal @pid if it still is a living child of @parent or, when that died
 * meanwhile, of @root.  The check comes after the pidfd is open: had the
 * number changed hands, the pidfd would be of one of ours or of a dead one.
 * 1 = sent, 0 = not there (any more), or -EPERM.
 */
static int signal_child(pid_t pid, pid_t parent, pid_t root, int signo, pid_t but_group)
{
	int pidfd = pidfd_open_of(pid), r;
	struct tree_stat st;

	if (pidfd < 0 && !has_no_pidfd(pidfd))
		return 0;
	r = tree_read_stat(pid, &st);
	if (r == 0 && (st.ppid == parent || st.ppid == root) && st.state != 'Z' &&
	    st.state != 'X' && (but_group == 0 || st.pgrp != but_group)) {
		if (pidfd >= 0)
			r = pidfd_signal(pidfd, signo);
		else
			r = kill(pid, signo) < 0 ? -errno : 0;
		r = r == 0 ? 1 : r == -EPERM ? -EPERM : 0;
	} else {
		r = 0;
	}
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

/*
 * Everything below @root into @ret, @ret_parents beside it.  All of it is
 * listed before anything is signalled: a parent that dies of the signal would
 * take the way to its children with it.
 */
static void list_tree(pid_t root, const struct tree_pids *but, struct tree_pids *ret,
		      struct tree_pids *ret_parents)
{
	struct tree_pids children = { 0 };
	pid_t parent = root;

	for (size_t next = 0; ret->n < TREE_MAX; parent = ret->pids[next++]) {
		children.n = 0;
		tree_children(parent, &children);
		for (size_t i = 0; i < children.n; i++) {
			if (parent == root && has_pid(but, children.pids[i]))
				continue;
			tree_pids_add(ret, children.pids[i]);
			tree_pids_add(ret_parents, parent);
		}
		if (next == ret->n)
			break;
	}
	tree_pids_fini(&children);
}

size_t tree_signal(pid_t root, int signo, pid_t but_group, const struct tree_pids *but,
		   pid_t *ret_refused)
{
	struct tree_pids pids = { 0 }, parents = { 0 };
	size_t n_sent = 0;

	list_tree(root, but, &pids, &parents);
	for (size_t i = 0; i < pids.n; i++) {
		int r = signal_child(pids.pids[i], parents.pids[i], root, signo, but_group);

		n_sent += r == 1;
		if (r == -EPERM)
			*ret_refused = pids.pids[i];
	}
	tree_pids_fini(&pids);
	tree_pids_fini(&parents);
	return n_sent;
}

struct leftover {
	const struct tree_identity *id;
	struct tree_pids pids;
};

static bool has_line(const char *text, size_t len, const char *wanted)
{
	for (size_t at = 0; at < len; at += strlen(text + at) + 1)
		if (strcmp(text + at, wanted) == 0)
			return true;
	return false;
}

/* Was it started with this job's and attempt's marks in its environment? */
static bool is_marked(pid_t pid, const struct tree_identity *id)
{
	char job[64], attempt[64];
	cleanup_free char *text = xmalloc(ENVIRON_MAX_BYTES);
	ssize_t n = read_proc(pid, "environ", text, ENVIRON_MAX_BYTES);

	snprintf(job, sizeof(job), "AWAITD_JOB_ID=%" PRId64, id->job);
	snprintf(attempt, sizeof(attempt), "AWAITD_ATTEMPT=%" PRIu32, id->attempt);
	return n > 0 && has_line(text, (size_t)n, job) && has_line(text, (size_t)n, attempt);
}

static bool is_same(pid_t pid, const struct tree_identity *id)
{
	struct tree_stat st;

	return pid == id->pid && tree_read_stat(pid, &st) == 0 && st.state != 'Z' &&
	       st.start_ticks == id->start_ticks;
}

/* Its session keeps the number from being given to anyone else, and what is in it is younger. */
static bool is_of_session(pid_t pid, const struct tree_identity *id)
{
	struct tree_stat st;

	return tree_read_stat(pid, &st) == 0 && st.session == id->pid && st.state != 'Z' &&
	       st.start_ticks >= id->start_ticks && is_marked(pid, id);
}

static bool is_leftover(pid_t pid, const struct tree_identity *id)
{
	return is_same(pid, id) || is_of_session(pid, id);
}

static void end_if_leftover(void *arg, pid_t pid)
{
	struct leftover *l = arg;
	pid_t refused = 0;
	int pidfd;

	if (!is_leftover(pid, l->id))
		return;
	pidfd = pidfd_open_of(pid);
	if (pidfd < 0)
		return;
	/* Once more, now that the pidfd holds whoever it is. */
	if (is_leftover(pid, l->id)) {
		tree_pids_add(&l->pids, pid);
		/* Stopped, it cannot lose the children that are about to be ended. */
		pidfd_signal(pidfd, SIGSTOP);
		tree_signal(pid, SIGKILL, 0, NULL, &refused);
		pidfd_signal(pidfd, SIGKILL);
	}
	close(pidfd);
}

size_t tree_end_leftover(const struct tree_identity *id, int timeout_ms)
{
	size_t n_left = 0;

	for (int waited_ms = 0;; waited_ms += POLL_MS) {
		struct leftover l = { .id = id };

		if (each_process(end_if_leftover, &l) < 0)
			return n_left;
		n_left = l.pids.n;
		tree_pids_fini(&l.pids);
		if (n_left == 0 || waited_ms >= timeout_ms)
			return n_left;
		poll(NULL, 0, POLL_MS);
	}
}
