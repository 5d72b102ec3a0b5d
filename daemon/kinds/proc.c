/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/proc.h"

#include "daemon/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The descriptor the supervisor finds its socket at. */
#define SUPERVISOR_FD 3
#define READ_BYTES 65536
#define N_BUCKETS 256
/* However much a worker prints, its followers hear of it this often at most. */
#define ACK_AFTER_US 10000
/* How long the supervisor may take to end what still runs when we leave. */
#define FINI_MS 5000

static struct {
	pid_t pid; /* 0 = none */
	struct loop_fd sock;
	struct msgbuf in, out;
	struct list procs[N_BUCKETS]; /* by job */
} sup;

extern char **environ;

/* ---- the program ---- */

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

/* An awaitd that was not installed has it in its own folder. */
static bool beside_us(char *path, size_t size)
{
	static const char name[] = "awaitd-supervisor";
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n <= 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash + 1 - path) + sizeof(name) > size)
		return false;
	memcpy(slash + 1, name, sizeof(name));
	return is_program(path);
}

static const char *find_program(char *room, size_t size)
{
	const char *given = getenv("AWAITD_SUPERVISOR");

	if (given && *given)
		return given;
	if (beside_us(room, size))
		return room;
	return AWAITD_SUPERVISOR_PATH;
}

static int spawn_on(const char *path, int fd, pid_t *ret_pid)
{
	char *argv[] = { (char *)path, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	r = posix_spawn_file_actions_init(&actions);
	if (r)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r == 0) {
		r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
		if (r == 0)
			r = posix_spawnattr_setsigmask(&attr, &none);
		if (r == 0)
			r = posix_spawn_file_actions_adddup2(&actions, fd, SUPERVISOR_FD);
		if (r == 0)
			r = posix_spawn_file_actions_addclosefrom_np(&actions, SUPERVISOR_FD + 1);
		if (r == 0)
			r = posix_spawn(ret_pid, path, &actions, &attr, argv, environ);
		posix_spawnattr_destroy(&attr);
	}
	posix_spawn_file_actions_destroy(&actions);
	return -r;
}

static void on_socket(struct loop_fd *lfd, unsigned ready);

/* ---- its end ---- */

static void await_exit(int timeout_ms)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, sup.pid, 0), .events = POLLIN };
	int status = 0;

	if (p.fd < 0 || poll(&p, 1, timeout_ms) <= 0)
		(void)kill(sup.pid, SIGKILL);
	if (p.fd >= 0)
		close(p.fd);
	while (waitpid(sup.pid, &status, 0) < 0 && errno == EINTR)
		;
	sup.pid = 0;
}

static int start_supervisor(const char *path)
{
	const struct msg hello = { .type = SUP_HELLO, .hello = { SUP_VERSION, (int32_t)getpid() } };
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = spawn_on(path, fds[1], &sup.pid);
	close(fds[1]);
	if (r == 0)
		r = loop_fd_open(&sup.sock, fds[0], LOOP_READ, on_socket);
	if (r < 0) {
		close(fds[0]);
		sup.sock.fd = -1;
		if (sup.pid > 0)
			await_exit(0);
		return r;
	}
	return msg_encode(&sup.out, &hello);
}

static void close_socket(void)
{
	int fd = sup.sock.fd;

	if (fd < 0)
		return;
	loop_fd_close(&sup.sock);
	close(fd);
	sup.sock.fd = -1;
	msgbuf_fini(&sup.in);
	msgbuf_fini(&sup.out);
}

static void move_to(struct proc *p, enum proc_state state)
{
	p->state = state;
	loop_timer_cancel(&p->ack);
	if (state == PROC_EXITED && p->exited_fn)
		p->exited_fn(p);
	signal_flag_raise(&p->changed);
}

static void supervisor_lost(const char *why)
{
	log_error("the supervisor is gone (%s); its workers are ended", why);
	close_socket();
	/* It may hang rather than be dead: without it nothing minds its workers' minders. */
	(void)kill(sup.pid, SIGKILL);
	await_exit(0);
	for (size_t i = 0; i < N_BUCKETS; i++) {
		list_for_each(it, &sup.procs[i]) {
			struct proc *p = container_of(it, struct proc, link);

			if (p->state == PROC_ASKED || p->state == PROC_RUNNING)
				move_to(p, PROC_LOST);
		}
	}
}

/* ---- messages in ---- */

static struct proc *find_proc(const struct msg *m)
{
	list_for_each(it, &sup.procs[(uint64_t)m->job % N_BUCKETS]) {
		struct proc *p = container_of(it, struct proc, link);

		if (p->job == m->job && p->attempt == m->attempt)
			return p;
	}
	return NULL;
}

static void flush(void);

static void on_ack_due(struct loop_timer *timer)
{
	const struct proc *p = container_of(timer, struct proc, ack);
	const struct msg ack = { .type = SUP_ACK, .job = p->job, .attempt = p->attempt };

	if (sup.sock.fd < 0)
		return;
	(void)!msg_encode(&sup.out, &ack);
	flush();
}

static void take_grew(struct proc *p)
{
	p->ack.fn = on_ack_due;
	loop_timer_set(&p->ack, mono_in_us(ACK_AFTER_US));
	if (p->grew)
		p->grew(p);
}

/* @pid: one of those that are left, 0 = which is not known. */
static void warn_stuck(const struct proc *p, int pid)
{
	char who[32] = "a process of it";

	if (pid > 0)
		(void)snprintf(who, sizeof(who), "process %d", pid);
	log_warning(
		"job %lld: %s does not end, though it was killed; the job goes on until it does",
		(long long)p->job, who);
}

static void take_for(struct proc *p, const struct msg *m)
{
	switch (m->type) {
	case SUP_STARTED:
		p->started = m->started;
		move_to(p, PROC_RUNNING);
		break;
	case SUP_FAILED:
		p->failed = m->failed;
		move_to(p, PROC_FAILED);
		break;
	case SUP_GREW:
		take_grew(p);
		break;
	case SUP_STUCK:
		warn_stuck(p, m->stuck_pid);
		break;
	case SUP_EXITED:
		p->exited = m->exited;
		move_to(p, m->exited.flags & SUP_EXITED_LOST ? PROC_LOST : PROC_EXITED);
		break;
	case SUP_NONE:
	case SUP_HELLO:
	case SUP_START:
	case SUP_KILL:
	case SUP_ACK:
	case N_SUP_TYPES:
		break;
	}
}

static int take(const struct msg *m)
{
	struct proc *p;

	if (m->type == SUP_HELLO) {
		if (m->hello.version == SUP_VERSION)
			return 0;
		log_error("awaitd-supervisor speaks version %u, awaitd %u: install both anew",
			  m->hello.version, SUP_VERSION);
		return -EPROTO;
	}
	p = find_proc(m);
	if (p)
		take_for(p, m);
	return 0;
}

/* 0, or negative errno: the connection is of no use any more. */
static int take_all(void)
{
	for (;;) {
		struct msg m;
		int n = msg_decode(&sup.in, &m), r;

		if (n <= 0)
			return n;
		r = take(&m);
		msg_fini(&m);
		if (r < 0)
			return r;
		msgbuf_consume(&sup.in, (size_t)n);
	}
}

static void on_readable(void)
{
	char *room = msgbuf_reserve(&sup.in, READ_BYTES);
	ssize_t n = recv(sup.sock.fd, room, READ_BYTES, MSG_DONTWAIT);

	if (n > 0) {
		sup.in.len += (size_t)n;
		if (take_all() < 0)
			supervisor_lost("it does not speak our language");
	} else if (n == 0) {
		supervisor_lost("it has ended");
	} else if (errno != EAGAIN && errno != EINTR) {
		supervisor_lost(strerror(errno));
	}
}

/* ---- messages out ---- */

static void flush(void)
{
	while (msgbuf_pending(&sup.out)) {
		ssize_t n = send(sup.sock.fd, sup.out.data + sup.out.at, msgbuf_pending(&sup.out),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* full: later; broken: the read side will say so */
		msgbuf_consume(&sup.out, (size_t)n);
	}
	(void)!loop_fd_want(&sup.sock, LOOP_READ | (msgbuf_pending(&sup.out) ? LOOP_WRITE : 0));
}

static void on_socket(struct loop_fd *lfd, unsigned ready)
{
	if (ready & LOOP_WRITE)
		flush();
	if ((ready & LOOP_READ) && lfd->fd >= 0)
		on_readable();
}

/* ---- public ---- */

int proc_init(struct aw_err *err)
{
	char room[4096];
	const char *path = find_program(room, sizeof(room));
	int r;

	memset(&sup, 0, sizeof(sup));
	sup.sock.fd = -1;
	for (size_t i = 0; i < N_BUCKETS; i++)
		list_init(&sup.procs[i]);
	r = start_supervisor(path);
	if (r < 0)
		return aw_fail(err, AW_INTERNAL, "cannot start the supervisor %s: %s", path,
			       strerror(-r));
	flush();
	return 0;
}

void proc_fini(void)
{
	if (sup.sock.fd < 0)
		return;
	close_socket();
	await_exit(FINI_MS);
}

int proc_start(struct proc *p, const struct msg_start *start)
{
	const struct msg m = {
		.type = SUP_START, .job = p->job, .attempt = p->attempt, .start = *start
	};
	char room[4096];
	int r = 0;

	if (sup.sock.fd < 0)
		r = start_supervisor(find_program(room, sizeof(room)));
	if (r == 0)
		r = msg_encode(&sup.out, &m);
	if (r < 0)
		return r;
	p->state = PROC_ASKED;
	list_add_tail(&sup.procs[(uint64_t)p->job % N_BUCKETS], &p->link);
	flush();
	return 0;
}

void proc_kill(struct proc *p, int64_t grace_us)
{
	const struct msg m = {
		.type = SUP_KILL, .job = p->job, .attempt = p->attempt, .kill_grace_us = grace_us
	};

	if (sup.sock.fd < 0)
		return;
	(void)!msg_encode(&sup.out, &m);
	flush();
}

int co_proc_wait(struct proc *p, enum proc_state state)
{
	int r = 0;

	while (r == 0 && p->state == state)
		r = co_signal_wait(&p->changed, MONO_NEVER);
	return r;
}

void proc_forget(struct proc *p)
{
	loop_timer_cancel(&p->ack);
	if (!p->link.next)
		return;
	list_remove(&p->link);
	p->link.next = NULL;
}
