/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_WORKER_FIXTURE_H
#define TESTS_UNIT_WORKER_FIXTURE_H

#include "daemon/supervisor/tree.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/job/jobdir.h"
#include "daemon/job/output.h"
#include "daemon/supervisor/msg.h"
#include "proto/xalloc.h"
#include "tests/unit/suite.h"

/* The supervisor program with real processes, and this process as its daemon. */

#define WAIT_MS 20000
#define LIMIT_BYTES (1024 * 1024)

static char dir[64];
/* How long our workers sleep; no other process on the machine has this in its command line. */
static char mark[32];
static pid_t supervisor;
static int sock;
static struct msgbuf in;
static int n_grew;

/* ---- the daemon's part ---- */

static inline void start_supervisor(void)
{
	const char *program = getenv("AWAITD_SUPERVISOR");
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	supervisor = fork();
	if (supervisor == 0) {
		if (dup2(fds[1], 3) == 3)
			execl(program, "awaitd-supervisor", (char *)NULL);
		_exit(99);
	}
	close(fds[1]);
	sock = fds[0];
}

static inline void send_msg(const struct msg *m)
{
	struct msgbuf b = { 0 };

	ck_assert_int_eq(msg_encode(&b, m), 0);
	ck_assert_int_eq(send(sock, b.data, b.len, MSG_NOSIGNAL), (ssize_t)b.len);
	msgbuf_fini(&b);
}

static inline void run_program(int64_t job, const char **argv, const char *cwd, const char *input)
{
	static const char *env[] = { "PATH=/usr/bin:/bin", "AWAITD_JOB_ID=1", "AWAITD_ATTEMPT=1",
				     NULL };
	cleanup_free char *log = jobdir_path(job, 1, "log");
	struct msg m = { .type = SUP_START,
			 .job = job,
			 .attempt = 1,
			 .start = { .argv = argv,
				    .env = env,
				    .cwd = cwd,
				    .log_path = log,
				    .stdin_text = input,
				    .stdin_len = input ? strlen(input) : 0,
				    .log_limit_bytes = LIMIT_BYTES,
				    .output_wait_us = 1000000,
				    .n_files = 1024,
				    .umask = 022 } };

	send_msg(&m);
}

/* A shell script; M in it is the mark. */
static inline void run_script(int64_t job, const char *script)
{
	const char *argv[] = { "sh", "-c", script, "sh", mark, NULL };

	run_program(job, argv, "/", NULL);
}

static inline void kill_job(int64_t job, int64_t grace_us)
{
	send_msg(&(struct msg){
		.type = SUP_KILL, .job = job, .attempt = 1, .kill_grace_us = grace_us });
}

static inline struct msg next_message(void)
{
	struct msg m;
	int n;

	while ((n = msg_decode(&in, &m)) == 0) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, WAIT_MS) <= 0)
			ck_abort_msg("the supervisor says nothing");
		got = recv(sock, msgbuf_reserve(&in, 4096), 4096, 0);
		ck_assert_int_gt(got, 0);
		in.len += (size_t)got;
	}
	ck_assert_int_gt(n, 0);
	msgbuf_consume(&in, (size_t)n);
	return m;
}

/*
 * The next message but for grown output, which is acknowledged, and that it runs, which who
 * is quick does not say.
 */
static inline struct msg expect(enum msg_type type)
{
	for (;;) {
		struct msg m = next_message();

		if (m.type == SUP_GREW) {
			n_grew++;
			send_msg(&(struct msg){ .type = SUP_ACK, .job = m.job, .attempt = 1 });
			continue;
		}
		if (m.type == SUP_STARTED && type != SUP_STARTED)
			continue;
		ck_assert_msg(m.type == type, "message of type %d, not %d (stage %u errno %d)",
			      m.type, type, m.failed.stage, m.failed.error);
		return m;
	}
}

static inline struct msg_exited expect_exited(void)
{
	return expect(SUP_EXITED).exited;
}

static inline struct output_read output(int64_t job, unsigned streams)
{
	struct output_read r = {
		.id = job, .attempt = 1, .streams = streams, .limit_bytes = 4 * 1024 * 1024
	};

	ck_assert_int_eq(output_read(&r), 0);
	return r;
}

static inline void expect_output(int64_t job, const char *text)
{
	struct output_read r = output(job, OUTPUT_BOTH);

	ck_assert_uint_eq(r.len, strlen(text));
	ck_assert_int_eq(memcmp(r.data, text, r.len), 0);
	ck_assert(r.is_at_end);
	output_read_fini(&r);
}

static inline int64_t now_ms(void)
{
	return now_mono().ns / 1000000;
}

/* ---- who is left ---- */

static inline bool has_mark(const char *pid)
{
	char path[300], text[4096];
	ssize_t n, at;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	for (at = 0; at < n; at += (ssize_t)strlen(text + at) + 1) {
		text[n] = '\0';
		if (strcmp(text + at, mark) == 0)
			return true;
	}
	return false;
}

static inline int count_marked(void)
{
	const struct dirent *e;
	DIR *proc = opendir("/proc");
	int n = 0;

	while ((e = readdir(proc)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && has_mark(e->d_name))
			n++;
	closedir(proc);
	return n;
}

static inline void wait_for_marked(int wanted)
{
	int64_t end = now_ms() + WAIT_MS;

	while (count_marked() != wanted) {
		ck_assert_msg(now_ms() < end, "%d marked processes, not %d", count_marked(),
			      wanted);
		poll(NULL, 0, 10);
	}
}

static inline void wait_for_at_least(int wanted)
{
	int64_t end = now_ms() + WAIT_MS;

	while (count_marked() < wanted) {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 10);
	}
}

static inline void wait_for_state(pid_t pid, char state)
{
	int64_t end = now_ms() + WAIT_MS;
	struct tree_stat st;

	while (tree_read_stat(pid, &st) < 0 || st.state != state) {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 5);
	}
}

static inline int wait_for_supervisor(void)
{
	int64_t end = now_ms() + WAIT_MS;
	int status;

	while (waitpid(supervisor, &status, WNOHANG) == 0) {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 5);
	}
	supervisor = 0;
	return status;
}

static inline void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/awaitd-tree-XXXXXX");
	snprintf(mark, sizeof(mark), "3600.%d", (int)getpid());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	jobdir_init(dir);
	start_supervisor();
	send_msg(&(struct msg){ .type = SUP_HELLO, .hello = { SUP_VERSION, getpid() } });
	ck_assert_uint_eq(next_message().hello.version, SUP_VERSION);
}

static inline void teardown(void)
{
	char command[128];
	pid_t pid;

	if (sock >= 0)
		close(sock);
	msgbuf_fini(&in);
	if (supervisor > 0)
		ck_assert_int_eq(wait_for_supervisor(), 0);
	wait_for_marked(0);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

/* Run what @add_tests adds as the suite @name, and return main()'s status. */
static inline int worker_main(const char *name, void (*add_tests)(TCase *t))
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);

	if (!getenv("AWAITD_SUPERVISOR")) {
		fprintf(stderr, "AWAITD_SUPERVISOR does not say where the program is\n");
		return 77;
	}
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	add_tests(t);
	suite_add_tcase(s, t);
	return suite_run(s);
}

#endif
