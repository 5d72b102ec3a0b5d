/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/minder.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/supervisor/outlog.h"
#include "daemon/supervisor/spawn.h"
#include "daemon/supervisor/tree.h"

#define READ_BYTES (64 * 1024)
/* Reads of one stream before the rest of the world has its turn. */
#define READS_PER_TURN 8
/* Followers of the output need not know more often than this. */
#define GREW_EVERY_US 20000
/* Between two passes of SIGKILL over what does not want to go away. */
#define KILL_EVERY_US 20000
#define KILL_EVERY_SLOW_US 500000
/*
 * Who it is matters to a daemon that comes after this one (R3.9), and to keep that costs a
 * commit: most programs have ended sooner.
 */
#define STARTED_AFTER_US 20000
/* Told to the daemon when SIGKILL has not helped for so long. */
#define STUCK_US 5000000

struct stream {
	int fd; /* owns; -1 at EOF */
	enum outlog_stream name;
};

struct minder {
	int64_t job;
	uint32_t attempt;
	int sock; /* owns; -1 when the supervisor is gone */
	int signal_fd;
	struct stream streams[2];
	struct outlog log;
	pid_t pid;
	struct mono started_at; /* when the daemon will be told; never: it was */
	bool has_exited;	/* the main process, and it is reaped */
	bool has_ended_itself;	/* nobody had asked it to */
	bool has_children;
	int status;
	struct rusage usage; /* of all that were reaped */
	/* How long output may come after the main process ended (a grandchild holds the pipe). */
	int64_t drain_us;
	struct mono drain_end;
	/* stopping */
	bool is_stopping, is_killing, is_stuck;
	struct mono kill_at; /* politeness is over */
	struct mono kill_began, kill_next;
	bool was_killed;
	size_t n_leftovers;
	/* telling of output */
	bool grew_in_flight;
	int64_t grew_told;
	struct mono grew_next;
};

static char read_buffer[READ_BYTES];
/* The start of any attempt but the first: what it says is used until that is over. */
static char start_packet[MINDER_START_BYTES];

static struct mono earlier(struct mono a, struct mono b)
{
	return a.ns < b.ns ? a : b;
}

static bool is_past(struct mono t)
{
	return now_mono().ns >= t.ns;
}

static void kill_at_once(struct minder *m)
{
	m->is_stopping = true;
	m->kill_at = now_mono();
}

static void on_supervisor_gone(struct minder *m)
{
	if (m->sock < 0)
		return;
	close(m->sock);
	m->sock = -1;
	kill_at_once(m);
}

static void send_msg(struct minder *m, struct msg *msg)
{
	struct msgbuf b = { 0 };
	ssize_t n;

	msg->job = m->job;
	msg->attempt = m->attempt;
	if (m->sock < 0 || msg_encode(&b, msg) < 0)
		return;
	do
		n = send(m->sock, b.data, b.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	msgbuf_fini(&b);
	if (n < 0)
		on_supervisor_gone(m);
}

static void tell_started(struct minder *m)
{
	struct msg msg = { .type = SUP_STARTED, .started = { .pid = m->pid } };
	struct tree_stat st;

	if (m->has_exited || !is_past(m->started_at))
		return;
	m->started_at = MONO_NEVER;
	/* It is not reaped yet, so this is its own entry even if it has ended. */
	if (tree_read_stat(m->pid, &st) == 0)
		msg.started.start_ticks = st.start_ticks;
	strncpy(msg.started.boot_id, now_boot_id(), sizeof(msg.started.boot_id) - 1);
	send_msg(m, &msg);
}

static void send_failed(struct minder *m, enum msg_stage stage, int error)
{
	struct msg msg = { .type = SUP_FAILED, .failed = { (uint32_t)stage, -error } };

	send_msg(m, &msg);
}

static bool is_open(const struct minder *m)
{
	return m->streams[0].fd >= 0 || m->streams[1].fd >= 0;
}

static int64_t tv_us(struct timeval tv)
{
	return (int64_t)tv.tv_sec * 1000000 + tv.tv_usec;
}

/* Is nothing of the attempt left here that could mix with another one? */
static bool is_free(const struct minder *m)
{
	return m->sock >= 0 && m->has_ended_itself && !m->has_children && !m->is_stopping &&
	       !m->is_killing && m->n_leftovers == 0 && !is_open(m);
}

static void send_exited(struct minder *m)
{
	struct msg msg = { .type = SUP_EXITED };
	struct msg_exited *e = &msg.exited;

	e->user_us = tv_us(m->usage.ru_utime);
	e->system_us = tv_us(m->usage.ru_stime);
	e->max_rss_bytes = (int64_t)m->usage.ru_maxrss * 1024;
	e->flags = (m->was_killed ? SUP_EXITED_KILLED : 0) | (is_free(m) ? SUP_EXITED_FREE : 0);
	e->exit_status = WIFEXITED(m->status) ? WEXITSTATUS(m->status) : -1;
	e->term_signal = WIFSIGNALED(m->status) ? WTERMSIG(m->status) : 0;
	e->n_leftovers = (uint32_t)m->n_leftovers;
	e->output_bytes = m->log.total_bytes;
	e->dropped_bytes = m->log.dropped_bytes;
	send_msg(m, &msg);
}

/* ---- output ---- */

static void read_stream(struct minder *m, struct stream *s)
{
	for (int i = 0; s->fd >= 0 && i < READS_PER_TURN; i++) {
		ssize_t n = read(s->fd, read_buffer, sizeof(read_buffer));

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			close(s->fd);
			s->fd = -1;
			return;
		}
		outlog_add(&m->log, s->name, read_buffer, (size_t)n, now_wall());
		if (n < (ssize_t)sizeof(read_buffer))
			return;
	}
}

/*
 * What lies in the pipes when nobody of the tree is left to write more; bounded, for others
 * may hold them.
 */
static void read_rest(struct minder *m)
{
	for (int i = 0; i < 64; i++) {
		int64_t before = m->log.total_bytes;

		read_stream(m, &m->streams[0]);
		read_stream(m, &m->streams[1]);
		if (m->log.total_bytes == before)
			return;
	}
}

static bool has_grown(const struct minder *m)
{
	return !m->grew_in_flight && m->log.total_bytes > m->grew_told;
}

static void tell_growth(struct minder *m)
{
	struct msg msg = { .type = SUP_GREW, .grew_bytes = m->log.total_bytes };

	if (!has_grown(m) || !is_past(m->grew_next))
		return;
	m->grew_in_flight = true;
	m->grew_told = m->log.total_bytes;
	m->grew_next = mono_in_us(GREW_EVERY_US);
	send_msg(m, &msg);
}

/* ---- the tree ---- */

/* Of one that was reaped, with whatever it had reaped itself. */
static void add_usage(struct rusage *sum, const struct rusage *r)
{
	timeradd(&sum->ru_utime, &r->ru_utime, &sum->ru_utime);
	timeradd(&sum->ru_stime, &r->ru_stime, &sum->ru_stime);
	if (r->ru_maxrss > sum->ru_maxrss)
		sum->ru_maxrss = r->ru_maxrss;
}

/*
 * Everything that has ended.  Only this loop reaps, so a number that has not
 * been reaped here still is the process we mean (R3.6).
 */
static void reap(struct minder *m)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0) {
		add_usage(&m->usage, &usage);
		if (pid != m->pid)
			continue;
		m->status = status;
		m->has_exited = true;
		m->has_ended_itself = !m->is_stopping;
		m->drain_end = mono_in_us(m->drain_us);
	}
	m->has_children = pid == 0 || (pid < 0 && errno != ECHILD);
}

static void stop_politely(struct minder *m)
{
	pid_t group = m->has_exited ? 0 : m->pid, refused = 0;

	/*
	 * The group in one go, then whoever has left it. A stopped process must run to see
	 * SIGTERM.
	 */
	if (group) {
		kill(-group, SIGTERM);
		kill(-group, SIGCONT);
	}
	tree_signal(getpid(), SIGTERM, group, NULL, &refused);
	tree_signal(getpid(), SIGCONT, group, NULL, &refused);
}

static void begin_stop(struct minder *m, int64_t grace_us)
{
	bool is_first = !m->is_stopping;

	m->is_stopping = true;
	m->kill_at = earlier(m->kill_at, mono_in_us(grace_us > 0 ? grace_us : 0));
	if (is_first && grace_us > 0)
		stop_politely(m);
}

static void tell_stuck(struct minder *m, pid_t refused)
{
	struct msg msg = { .type = SUP_STUCK, .stuck_pid = refused };
	struct tree_pids left = { 0 };

	m->is_stuck = true;
	if (refused == 0 && tree_children(getpid(), &left) == 0 && left.n > 0)
		msg.stuck_pid = left.pids[0];
	tree_pids_fini(&left);
	send_msg(m, &msg);
}

static void kill_pass(struct minder *m)
{
	pid_t refused = 0;
	size_t n, n_first = 0;
	bool had_exited = m->has_exited;

	/* As long as somebody was there to be killed, somebody may just have been born. */
	for (int pass = 0; pass < 20; pass++) {
		n = tree_signal(getpid(), SIGKILL, 0, NULL, &refused);
		if (pass == 0)
			n_first = n;
		reap(m);
		if (n == 0)
			break;
	}
	if (n_first > 0)
		m->was_killed = true;
	if (had_exited && m->n_leftovers == 0)
		m->n_leftovers = n_first;
	if (!m->is_killing) {
		m->is_killing = true;
		m->kill_began = now_mono();
	}
	if (!m->is_stuck && is_past(mono_add_us(m->kill_began, STUCK_US)))
		tell_stuck(m, refused);
	m->kill_next = mono_in_us(m->is_stuck ? KILL_EVERY_SLOW_US : KILL_EVERY_US);
}

/* When the tree is to be killed, as things are now. */
static struct mono kill_time(const struct minder *m)
{
	struct mono when = m->kill_at;

	if (m->is_killing)
		return m->kill_next;
	/*
	 * Leftovers of a worker that ended by itself: a moment for the output
	 * to arrive, none when there is no output to come.  Of one that was
	 * stopped they have the same grace as the main process had.
	 */
	if (m->has_ended_itself)
		when = earlier(when, is_open(m) ? m->drain_end : now_mono());
	return when;
}

/*
 * Is it over?  Nothing is left, and nothing more can come out of the pipes, or it has had
 * its time.
 */
static bool is_over(const struct minder *m)
{
	if (!m->has_exited || m->has_children)
		return false;
	return !is_open(m) || m->is_stopping || m->is_killing || is_past(m->drain_end);
}

/* ---- the loop ---- */

static void read_socket(struct minder *m)
{
	char packet[SUP_SMALL_BYTES];
	struct msg msg;
	ssize_t n = recv(m->sock, packet, sizeof(packet), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || msg_decode_packet(packet, (size_t)n, &msg) < 0) {
		on_supervisor_gone(m);
		return;
	}
	/* What was meant for the attempt before this one came too late. */
	if (msg.job == m->job && msg.attempt == m->attempt) {
		if (msg.type == SUP_KILL)
			begin_stop(m, msg.kill_grace_us);
		else if (msg.type == SUP_ACK)
			m->grew_in_flight = false;
	}
	msg_fini(&msg);
}

static void read_signals(struct minder *m)
{
	struct signalfd_siginfo info[8];

	while (read(m->signal_fd, info, sizeof(info)) > 0)
		;
	reap(m);
}

static int timeout_ms(const struct minder *m)
{
	struct mono when = MONO_NEVER;
	int64_t left_ns;

	if (m->has_children)
		when = kill_time(m);
	else if (m->has_exited)
		when = m->drain_end;
	if (!m->has_exited)
		when = earlier(when, m->started_at);
	if (has_grown(m))
		when = earlier(when, m->grew_next);
	if (mono_is_never(when))
		return -1;
	left_ns = when.ns - now_mono().ns;
	if (left_ns <= 0)
		return 0;
	return left_ns > INT64_C(1000000000) ? 1000 : (int)((left_ns + 999999) / 1000000);
}

static void turn(struct minder *m)
{
	struct pollfd fds[] = {
		{ .fd = m->sock, .events = POLLIN },
		{ .fd = m->signal_fd, .events = POLLIN },
		{ .fd = m->streams[0].fd, .events = POLLIN },
		{ .fd = m->streams[1].fd, .events = POLLIN },
	};

	if (poll(fds, 4, timeout_ms(m)) < 0)
		return;
	if (fds[2].revents)
		read_stream(m, &m->streams[0]);
	if (fds[3].revents)
		read_stream(m, &m->streams[1]);
	if (fds[1].revents)
		read_signals(m);
	if (fds[0].revents)
		read_socket(m);
	if (m->has_children && is_past(kill_time(m)))
		kill_pass(m);
	tell_started(m);
	tell_growth(m);
}

static bool start(struct minder *m, const struct msg_start *s)
{
	enum msg_stage stage;
	struct spawned w;
	int r = spawn_worker(s, &w, &stage);

	if (r < 0) {
		send_failed(m, stage, r);
		return false;
	}
	outlog_init(&m->log, s->log_path, s->log_limit_bytes);
	m->pid = w.pid;
	m->drain_us = s->output_wait_us;
	m->has_children = true;
	m->streams[0] = (struct stream){ w.stdout_fd, OUTLOG_STDOUT };
	m->streams[1] = (struct stream){ w.stderr_fd, OUTLOG_STDERR };
	m->started_at = mono_in_us(STARTED_AFTER_US);
	return true;
}

/* One attempt, from its start to its end.  Returns whether the next one may come. */
static bool mind(int sock, int signal_fd, const struct msg *msg)
{
	struct minder m = {
		.job = msg->job,
		.attempt = msg->attempt,
		.sock = sock,
		.signal_fd = signal_fd,
		.kill_at = MONO_NEVER,
		.streams = { { .fd = -1 }, { .fd = -1 } },
		.log = { .fd = -1 },
	};

	if (!start(&m, &msg->start))
		return false;
	reap(&m);
	while (!is_over(&m))
		turn(&m);
	read_rest(&m);
	outlog_close(&m.log);
	send_exited(&m);
	return is_free(&m);
}

/* Wait for it, while a kill or an ack may still come that crossed the exit.  False: no more. */
static bool next_start(int sock, struct msg *ret)
{
	for (;;) {
		ssize_t n = recv(sock, start_packet, sizeof(start_packet), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || msg_decode_packet(start_packet, (size_t)n, ret) < 0)
			return false;
		if (ret->type == SUP_START)
			return true;
	}
}

static int become_reaper(int *ret_signal_fd)
{
	sigset_t child;

	/*
	 * A name that "pkill awaitd" does not match: it ends by itself, with its tree, when
	 * awaitd does.
	 */
	prctl(PR_SET_NAME, "worker-minder", 0, 0, 0);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	*ret_signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (*ret_signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

void minder_run(int fd, const struct msg *first)
{
	struct msg next;
	int signal_fd, r = become_reaper(&signal_fd);

	if (r < 0) {
		send_failed(&(struct minder){ .job = first->job,
					      .attempt = first->attempt,
					      .sock = fd },
			    STAGE_FORK, r);
		_exit(0);
	}
	if (!mind(fd, signal_fd, first))
		_exit(0);
	while (next_start(fd, &next) && mind(fd, signal_fd, &next))
		msg_fini(&next);
	_exit(0);
}
