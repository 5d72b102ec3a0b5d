/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/router.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/list.h"
#include "daemon/base/now.h"
#include "daemon/supervisor/minder.h"
#include "daemon/supervisor/msg.h"
#include "daemon/supervisor/spawn.h"
#include "daemon/supervisor/tree.h"
#include "proto/xalloc.h"

#define N_BUCKETS 256
#define EVENTS_PER_TURN 64
#define READ_BYTES (64 * 1024)
#define MINDER_FD 3
/* Strays are killed again this often. */
#define STRAYS_EVERY_MS 20
#define STUCK_US 5000000
/* Free minders are kept so long for the next starts, and so many of them. */
#define FREE_US 2000000
#define FREE_MAX 16
/* When the daemon is gone and something cannot be killed, we go all the same. */
#define ENDING_MAX_US 30000000

/* An attempt and the process that minds it; with is_over the last one that it minded. */
struct link {
	struct list all;    /* of router.links, or of router.lost */
	struct list bucket; /* by job and attempt */
	struct list free;   /* of router.free: it waits for another attempt */
	struct mono free_since;
	int64_t job;
	uint32_t attempt;
	pid_t pid;
	int fd;	       /* owns; -1 = closed */
	bool is_over;  /* its last word has been passed on */
	bool is_stuck; /* the daemon was told */
	struct mono lost_at;
};

struct router {
	int sock, signal_fd, epoll_fd;
	struct list links, lost;
	struct list free; /* those that are free, the latest last */
	unsigned n_free;
	struct list buckets[N_BUCKETS];
	struct msgbuf in, out;
	bool has_hello, wants_out, must_reap;
	bool is_ending;
	struct mono ending_since;
	int status;
};

static struct list *bucket_of(struct router *r, int64_t job, uint32_t attempt)
{
	return &r->buckets[((uint64_t)job + attempt) % N_BUCKETS];
}

/* One that is over may wait to be reaped: for messages it is not there any more. */
static struct link *find_link(struct router *r, int64_t job, uint32_t attempt)
{
	struct list *bucket = bucket_of(r, job, attempt);

	list_for_each(it, bucket) {
		struct link *l = container_of(it, struct link, bucket);

		if (l->job == job && l->attempt == attempt && !l->is_over)
			return l;
	}
	return NULL;
}

static struct link *find_pid(struct router *r, pid_t pid)
{
	list_for_each(it, &r->links) {
		struct link *l = container_of(it, struct link, all);

		if (l->pid == pid)
			return l;
	}
	return NULL;
}

static void take_from_free(struct router *r, struct link *l)
{
	if (list_is_empty(&l->free))
		return;
	list_remove(&l->free);
	r->n_free--;
}

/* A free minder ends when it sees that. */
static void close_link(struct router *r, struct link *l)
{
	take_from_free(r, l);
	if (l->fd < 0)
		return;
	/* Closing alone is not enough: a minder that has just been forked may still hold a copy. */
	epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
	close(l->fd);
	l->fd = -1;
}

static void free_link(struct router *r, struct link *l)
{
	close_link(r, l);
	list_remove(&l->all);
	list_remove(&l->bucket);
	free(l);
}

/* The daemon is gone, or talks nonsense: every minder sees its socket close and ends its tree. */
static void begin_end(struct router *r, int status)
{
	if (r->is_ending)
		return;
	r->is_ending = true;
	r->status = status;
	r->ending_since = now_mono();
	close(r->sock);
	r->sock = -1;
	list_for_each(it, &r->links)
		close_link(r, container_of(it, struct link, all));
}

/* ---- to the daemon ---- */

static void tell(struct router *r, const struct msg *m)
{
	(void)!msg_encode(&r->out, m);
}

static int watch(struct router *r, int op, int fd, unsigned events, void *ptr)
{
	struct epoll_event ev = { .events = events, .data = { .ptr = ptr } };

	return epoll_ctl(r->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

static void flush_out(struct router *r)
{
	bool wants_out;

	while (!r->is_ending && msgbuf_pending(&r->out) > 0) {
		ssize_t n = send(r->sock, r->out.data + r->out.at, msgbuf_pending(&r->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			msgbuf_consume(&r->out, (size_t)n);
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			begin_end(r, 0);
	}
	if (r->is_ending)
		return;
	wants_out = msgbuf_pending(&r->out) > 0;
	if (wants_out != r->wants_out)
		watch(r, EPOLL_CTL_MOD, r->sock, EPOLLIN | (wants_out ? EPOLLOUT : 0u), &r->sock);
	r->wants_out = wants_out;
}

/* ---- minders ---- */

static void __attribute__((noreturn)) become_minder(int fd, const struct msg *m)
{
	/*
	 * Nothing of the supervisor's may stay open: the others' sockets have to close when
	 * it dies.
	 */
	if (dup3(fd, MINDER_FD, O_CLOEXEC) < 0)
		_exit(1);
	spawn_close_from(MINDER_FD + 1);
	minder_run(MINDER_FD, m);
}

static int start_minder(struct router *r, const struct msg *m, struct link **ret)
{
	struct link *l;
	int fds[2];
	pid_t pid;
	int result;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become_minder(fds[1], m);
	result = pid < 0 ? -errno : 0;
	close(fds[1]);
	if (result < 0) {
		close(fds[0]);
		return result;
	}
	l = xmalloc(sizeof(*l));
	*l = (struct link){ .job = m->job, .attempt = m->attempt, .pid = pid, .fd = fds[0] };
	list_init(&l->free);
	list_add_tail(&r->links, &l->all);
	list_add_tail(bucket_of(r, l->job, l->attempt), &l->bucket);
	*ret = l;
	return 0;
}

static void set_free(struct router *r, struct link *l)
{
	if (r->n_free >= FREE_MAX || r->is_ending) {
		close_link(r, l);
		return;
	}
	l->free_since = now_mono();
	list_add_tail(&r->free, &l->free);
	r->n_free++;
}

/* The one that was busy last, so that those that are too many come of age. */
static bool give_to_free(struct router *r, const struct msg *m, const char *bytes, size_t len)
{
	while (len <= MINDER_START_BYTES && r->n_free > 0) {
		struct link *l = container_of(r->free.prev, struct link, free);

		if (send(l->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len) {
			close_link(r, l); /* it was killed, and will be reaped */
			continue;
		}
		take_from_free(r, l);
		l->job = m->job;
		l->attempt = m->attempt;
		l->is_over = false;
		list_remove(&l->bucket);
		list_add_tail(bucket_of(r, l->job, l->attempt), &l->bucket);
		return true;
	}
	return false;
}

static int on_start(struct router *r, const struct msg *m, const char *bytes, size_t len)
{
	struct msg failed = { .type = SUP_FAILED, .job = m->job, .attempt = m->attempt };
	struct link *l = NULL;
	int result;

	if (find_link(r, m->job, m->attempt))
		return -EBADMSG;
	if (give_to_free(r, m, bytes, len))
		return 0;
	result = start_minder(r, m, &l);
	if (result == 0) {
		/*
		 * Out of memory for this watch: the minder ends when we close, and counts as
		 * lost.
		 */
		if (watch(r, EPOLL_CTL_ADD, l->fd, EPOLLIN, l) < 0)
			close_link(r, l);
		return 0;
	}
	failed.failed = (struct msg_failed){ STAGE_FORK, -result };
	tell(r, &failed);
	return 0;
}

static void pass_down(struct router *r, const struct msg *m, const char *bytes, size_t len)
{
	const struct link *l = find_link(r, m->job, m->attempt);

	/* Its end may have crossed this message: then there is nobody to take it. */
	if (l && l->fd >= 0)
		(void)!send(l->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool is_from_minder(enum msg_type type)
{
	return type == SUP_STARTED || type == SUP_FAILED || type == SUP_GREW || type == SUP_STUCK ||
	       type == SUP_EXITED;
}

/*
 * The next packet of a minder, as recv(2) has it.  When a minder ends before it has read all
 * that was sent to it, Linux puts ECONNRESET in front of the packets it had sent before: its
 * last word comes after that.
 */
static ssize_t receive(const struct link *l, char *packet, size_t size)
{
	ssize_t n = recv(l->fd, packet, size, MSG_DONTWAIT);

	if (n < 0 && errno == ECONNRESET)
		n = recv(l->fd, packet, size, MSG_DONTWAIT);
	return n;
}

/* One message, to the daemon.  False: there was none. */
static bool pass_up(struct router *r, struct link *l)
{
	char packet[SUP_SMALL_BYTES];
	struct msg m;
	ssize_t n;

	if (l->fd < 0)
		return false;
	n = receive(l, packet, sizeof(packet));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/*
	 * A worker can reach its minder's memory (same user): what it sends is not trusted
	 * either.
	 */
	if (n <= 0 || msg_decode_packet(packet, (size_t)n, &m) < 0 || !is_from_minder(m.type) ||
	    m.job != l->job || m.attempt != l->attempt || l->is_over) {
		close_link(r, l);
		return false;
	}
	l->is_over = m.type == SUP_FAILED || m.type == SUP_EXITED;
	if (m.type == SUP_EXITED && m.exited.flags & SUP_EXITED_FREE) {
		m.exited.flags &= ~(uint32_t)SUP_EXITED_FREE;
		set_free(r, l);
	}
	tell(r, &m);
	return true;
}

static void on_minder_ended(struct router *r, struct link *l)
{
	while (pass_up(r, l))
		;
	if (l->is_over) {
		free_link(r, l);
		return;
	}
	/* Killed before it was done.  What it minded has become ours with its end. */
	close_link(r, l);
	l->lost_at = now_mono();
	list_remove(&l->all);
	list_add_tail(&r->lost, &l->all);
}

static void reap(struct router *r)
{
	struct link *l;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) {
		l = find_pid(r, pid);
		if (l)
			on_minder_ended(r, l);
	}
}

/*
 * Whoever is our child and no minder was left by one that was killed.  Returns whether any
 * is left.
 */
static bool kill_strays(struct router *r)
{
	struct tree_pids minders = { 0 }, children = { 0 };
	pid_t refused = 0;
	size_t n_strays;

	list_for_each(it, &r->links)
		tree_pids_add(&minders, container_of(it, struct link, all)->pid);
	tree_signal(getpid(), SIGKILL, 0, &minders, &refused);
	tree_children(getpid(), &children);
	n_strays = children.n - (children.n < minders.n ? children.n : minders.n);
	tree_pids_fini(&minders);
	tree_pids_fini(&children);
	return n_strays > 0;
}

static void report_lost(struct router *r)
{
	struct list *it;

	while ((it = list_pop(&r->lost))) {
		struct link *l = container_of(it, struct link, all);
		struct msg m = {
			.type = SUP_EXITED,
			.job = l->job,
			.attempt = l->attempt,
			.exited = { .flags = SUP_EXITED_LOST, .exit_status = -1 },
		};

		tell(r, &m);
		free_link(r, l);
	}
}

static void report_stuck(struct router *r)
{
	list_for_each(it, &r->lost) {
		struct link *l = container_of(it, struct link, all);
		struct msg m = { .type = SUP_STUCK, .job = l->job, .attempt = l->attempt };

		if (l->is_stuck || now_mono().ns < mono_add_us(l->lost_at, STUCK_US).ns)
			continue;
		l->is_stuck = true;
		tell(r, &m);
	}
}

static void mind_strays(struct router *r)
{
	if (list_is_empty(&r->lost))
		return;
	if (kill_strays(r))
		report_stuck(r);
	else
		report_lost(r);
}

/* ---- from the daemon ---- */

static int on_message(struct router *r, const struct msg *m, const char *bytes, size_t len)
{
	if (!r->has_hello) {
		if (m->type != SUP_HELLO)
			return -EBADMSG;
		if (m->hello.version != SUP_VERSION)
			return -EPROTONOSUPPORT;
		r->has_hello = true;
		return 0;
	}
	switch (m->type) {
	case SUP_START:
		return on_start(r, m, bytes, len);
	case SUP_KILL:
	case SUP_ACK:
		pass_down(r, m, bytes, len);
		return 0;
	case SUP_NONE:
	case SUP_HELLO:
	case SUP_STARTED:
	case SUP_FAILED:
	case SUP_GREW:
	case SUP_STUCK:
	case SUP_EXITED:
	case N_SUP_TYPES:
		break;
	}
	return -EBADMSG;
}

static int take_messages(struct router *r)
{
	struct msg m;
	int n, result = 0;

	while (result == 0 && (n = msg_decode(&r->in, &m)) != 0) {
		if (n < 0)
			return n;
		result = on_message(r, &m, r->in.data + r->in.at, (size_t)n);
		msg_fini(&m);
		msgbuf_consume(&r->in, (size_t)n);
	}
	return result;
}

static void read_daemon(struct router *r)
{
	ssize_t n;
	int result;

	if (r->is_ending)
		return;
	n = recv(r->sock, msgbuf_reserve(&r->in, READ_BYTES), READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		begin_end(r, 0);
		return;
	}
	r->in.len += (size_t)n;
	result = take_messages(r);
	if (result < 0) {
		fprintf(stderr, "awaitd-supervisor: message from the daemon: %s\n",
			strerror(-result));
		begin_end(r, 1);
	}
}

/* ---- the loop ---- */

static void end_old_free(struct router *r)
{
	while (r->n_free > 0) {
		struct link *l = container_of(r->free.next, struct link, free);

		if (now_mono().ns < mono_add_us(l->free_since, FREE_US).ns)
			return;
		close_link(r, l);
	}
}

static int timeout_ms(const struct router *r)
{
	if (!list_is_empty(&r->lost) || r->is_ending)
		return STRAYS_EVERY_MS;
	return r->n_free > 0 ? FREE_US / 1000 : -1;
}

static void read_signals(struct router *r)
{
	struct signalfd_siginfo info[8];

	while (read(r->signal_fd, info, sizeof(info)) > 0)
		;
	r->must_reap = true;
}

static void turn(struct router *r)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int n = epoll_wait(r->epoll_fd, events, EVENTS_PER_TURN, timeout_ms(r));

	for (int i = 0; i < n; i++) {
		void *ptr = events[i].data.ptr;

		if (ptr == &r->signal_fd)
			read_signals(r);
		else if (ptr == &r->sock)
			read_daemon(r);
		else
			pass_up(r, ptr);
	}
	/* Only now: reaping frees links that may still have been in events[]. */
	if (r->must_reap)
		reap(r);
	r->must_reap = false;
	end_old_free(r);
	mind_strays(r);
	flush_out(r);
}

static bool is_done(const struct router *r)
{
	if (!r->is_ending)
		return false;
	if (list_is_empty(&r->links) && list_is_empty(&r->lost))
		return true;
	return now_mono().ns > mono_add_us(r->ending_since, ENDING_MAX_US).ns;
}

static int open_fds(struct router *r)
{
	sigset_t child;
	int result;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	r->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->signal_fd < 0 || r->epoll_fd < 0)
		return -errno;
	result = watch(r, EPOLL_CTL_ADD, r->signal_fd, EPOLLIN, &r->signal_fd);
	if (result == 0)
		result = watch(r, EPOLL_CTL_ADD, r->sock, EPOLLIN, &r->sock);
	return result;
}

int router_run(int fd)
{
	struct router r = { .sock = fd, .signal_fd = -1, .epoll_fd = -1 };
	struct msg hello = { .type = SUP_HELLO, .hello = { SUP_VERSION, getpid() } };
	int result;

	list_init(&r.links);
	list_init(&r.lost);
	list_init(&r.free);
	for (int i = 0; i < N_BUCKETS; i++)
		list_init(&r.buckets[i]);
	result = open_fds(&r);
	if (result < 0) {
		fprintf(stderr, "awaitd-supervisor: epoll: %s\n", strerror(-result));
		return 1;
	}
	tell(&r, &hello);
	flush_out(&r);
	while (!is_done(&r))
		turn(&r);
	msgbuf_fini(&r.in);
	msgbuf_fini(&r.out);
	close(r.signal_fd);
	close(r.epoll_fd);
	return r.status;
}
