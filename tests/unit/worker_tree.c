/* SPDX-License-Identifier: MIT */
#include "config.h"

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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/job/jobdir.h"
#include "daemon/job/output.h"
#include "daemon/supervisor/msg.h"
#include "proto/xalloc.h"

/*
 * The supervisor program with real processes: how they start (R3.2, R3.3),
 * what is kept of their output (R3.7, T6), and that nothing of their trees
 * is ever left (R3.5, R3.6, R3.9, T5).
 */

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

static void start_supervisor(void)
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

static void send_msg(const struct msg *m)
{
	struct msgbuf b = { 0 };

	ck_assert_int_eq(msg_encode(&b, m), 0);
	ck_assert_int_eq(send(sock, b.data, b.len, MSG_NOSIGNAL), (ssize_t)b.len);
	msgbuf_fini(&b);
}

static void run_program(int64_t job, const char **argv, const char *cwd, const char *input)
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
				    .umask = 022 } };

	ck_assert_int_eq(jobdir_make(job), 0);
	send_msg(&m);
}

/* A shell script; M in it is the mark. */
static void run_script(int64_t job, const char *script)
{
	const char *argv[] = { "sh", "-c", script, "sh", mark, NULL };

	run_program(job, argv, "/", NULL);
}

static void kill_job(int64_t job, int64_t grace_us)
{
	send_msg(&(struct msg){
		.type = SUP_KILL, .job = job, .attempt = 1, .kill_grace_us = grace_us });
}

static struct msg next_message(void)
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

/* The next message but for grown output, which is acknowledged. */
static struct msg expect(enum msg_type type)
{
	for (;;) {
		struct msg m = next_message();

		if (m.type == SUP_GREW) {
			n_grew++;
			send_msg(&(struct msg){ .type = SUP_ACK, .job = m.job, .attempt = 1 });
			continue;
		}
		ck_assert_msg(m.type == type, "message of type %d, not %d (stage %u errno %d)",
			      m.type, type, m.failed.stage, m.failed.error);
		return m;
	}
}

static struct msg_exited expect_exited(void)
{
	return expect(SUP_EXITED).exited;
}

static struct output_read output(int64_t job, unsigned streams)
{
	struct output_read r = {
		.id = job, .attempt = 1, .streams = streams, .limit_bytes = 4 * 1024 * 1024
	};

	ck_assert_int_eq(output_read(&r), 0);
	return r;
}

static void expect_output(int64_t job, const char *text)
{
	struct output_read r = output(job, OUTPUT_BOTH);

	ck_assert_uint_eq(r.len, strlen(text));
	ck_assert_int_eq(memcmp(r.data, text, r.len), 0);
	ck_assert(r.is_at_end);
	output_read_fini(&r);
}

static int64_t now_ms(void)
{
	return now_mono().ns / 1000000;
}

/* ---- who is left ---- */

static bool has_mark(const char *pid)
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

static int count_marked(void)
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

static void wait_for_marked(int wanted)
{
	int64_t end = now_ms() + WAIT_MS;

	while (count_marked() != wanted) {
		ck_assert_msg(now_ms() < end, "%d marked processes, not %d", count_marked(),
			      wanted);
		poll(NULL, 0, 10);
	}
}

static void wait_for_at_least(int wanted)
{
	int64_t end = now_ms() + WAIT_MS;

	while (count_marked() < wanted) {
		ck_assert_int_lt(now_ms(), end);
		poll(NULL, 0, 10);
	}
}

static int wait_for_supervisor(void)
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

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/awaitd-tree-XXXXXX");
	snprintf(mark, sizeof(mark), "3600.%d", (int)getpid());
	ck_assert_ptr_nonnull(mkdtemp(dir));
	jobdir_init(dir);
	start_supervisor();
	send_msg(&(struct msg){ .type = SUP_HELLO, .hello = { SUP_VERSION, getpid() } });
	ck_assert_uint_eq(next_message().hello.version, SUP_VERSION);
}

static void teardown(void)
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

/* ---- start ---- */

START_TEST(a_program_runs_and_ends)
{
	struct msg_exited e;
	struct msg m;

	run_script(1, "echo out; echo err >&2; exit 7");
	m = expect(SUP_STARTED);
	ck_assert_int_gt(m.started.pid, 1);
	ck_assert_uint_gt(m.started.start_ticks, 0);
	ck_assert_str_eq(m.started.boot_id, now_boot_id());
	e = expect_exited();
	ck_assert_int_eq(e.exit_status, 7);
	ck_assert_int_eq(e.term_signal, 0);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_uint_eq(e.n_leftovers, 0);
	ck_assert_int_eq(e.output_bytes, 8);
	ck_assert_int_gt(e.max_rss_bytes, 0);
	expect_output(1, "out\nerr\n");
}
END_TEST

static void expect_failed(const char *program, const char *cwd, unsigned stage, int error)
{
	const char *argv[] = { program, NULL };
	struct msg m;

	run_program(1, argv, cwd, NULL);
	m = expect(SUP_FAILED);
	ck_assert_msg(m.failed.stage == stage && m.failed.error == error, "%s: stage %s, errno %s",
		      program, msg_stage_name(m.failed.stage), strerrorname_np(m.failed.error));
}

START_TEST(what_cannot_run_is_named)
{
	cleanup_free char *plain = xasprintf("%s/plain", dir), *text = xasprintf("%s/text", dir);

	close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	close(open(text, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	expect_failed("no-such-program-anywhere", "/", STAGE_EXEC, ENOENT);
	expect_failed("", "/", STAGE_EXEC, ENOENT);
	expect_failed("/no/such/program", "/", STAGE_EXEC, ENOENT);
	expect_failed(plain, "/", STAGE_EXEC, EACCES);
	expect_failed(dir, "/", STAGE_EXEC, EACCES);
	expect_failed(text, "/", STAGE_EXEC, ENOEXEC);
	expect_failed("true", "/no/such/folder", STAGE_CWD, ENOENT);
	expect_failed("true", plain, STAGE_CWD, ENOTDIR);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened)
{
	static const char *argv[] = { "true", NULL }, *env[] = { NULL };
	struct msg m = {
		.type = SUP_START,
		.job = 9,
		.attempt = 1,
		.start = { .argv = argv, .env = env, .cwd = "/", .log_path = "/no/such/log" }
	};

	send_msg(&m);
	m = expect(SUP_FAILED);
	ck_assert_uint_eq(m.failed.stage, STAGE_LOG);
	ck_assert_int_eq(m.failed.error, ENOENT);
}
END_TEST

/* R3.3: own session, nothing inherited but 0, 1 and 2, no signal blocked or ignored. */
START_TEST(a_worker_starts_clean)
{
	struct output_read r;

	/* No pipe and no glob: the shell would have descriptors of its own for them. */
	run_script(1, "for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13; do"
		      "  [ -e /proc/$$/fd/$f ] && n=\"$n$f \"; done; echo \"$n\";"
		      "grep -E '^Sig(Blk|Ign)' /proc/self/status;"
		      "set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && echo leads;"
		      "ulimit -c; ulimit -Sn; umask; env | grep -v ^_= | grep -v ^PWD= | sort");
	expect(SUP_STARTED);
	expect_exited();
	r = output(1, OUTPUT_BOTH);
	r.data[r.len - 1] = '\0';
	ck_assert_str_eq(r.data, "0 1 2 \nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
				 "leads\n0\n1024\n0022\nAWAITD_ATTEMPT=1\nAWAITD_JOB_ID=1\n"
				 "PATH=/usr/bin:/bin");
	output_read_fini(&r);
}
END_TEST

START_TEST(stdin_is_delivered_whole)
{
	const char *cat[] = { "cat", NULL }, *lazy[] = { "true", NULL };
	char *text = xmalloc(128 * 1024 + 1);
	struct output_read r;

	memset(text, 'x', 128 * 1024);
	text[128 * 1024] = '\0';
	run_program(1, cat, "/", text);
	expect(SUP_STARTED);
	expect_exited();
	r = output(1, OUTPUT_STDOUT);
	ck_assert_uint_eq(r.len, 128 * 1024);
	ck_assert_int_eq(memcmp(r.data, text, r.len), 0);
	output_read_fini(&r);
	/* Nobody need read it. */
	run_program(2, lazy, "/", text);
	expect(SUP_STARTED);
	ck_assert_int_eq(expect_exited().exit_status, 0);
	/* None at all is the end of file at once. */
	run_program(3, cat, "/", NULL);
	expect(SUP_STARTED);
	ck_assert_int_eq(expect_exited().output_bytes, 0);
	free(text);
}
END_TEST

START_TEST(path_is_the_workers_own)
{
	static const char *argv[] = { "tool", NULL };
	cleanup_free char *path = xasprintf("PATH=/nowhere:%s/a:b", dir);
	cleanup_free char *a = xasprintf("%s/a", dir), *b = xasprintf("%s/b", dir);
	cleanup_free char *tool_a = xasprintf("%s/tool", a), *tool_b = xasprintf("%s/tool", b);
	cleanup_free char *log = jobdir_path(1, 1, "log");
	const char *env[] = { path, NULL };
	struct msg m = { .type = SUP_START,
			 .job = 1,
			 .attempt = 1,
			 .start = { .argv = argv,
				    .env = env,
				    .cwd = dir,
				    .log_path = log,
				    .log_limit_bytes = 1000 } };
	int fd;

	ck_assert_int_eq(jobdir_make(1), 0);
	ck_assert_int_eq(mkdir(a, 0755) | mkdir(b, 0755), 0);
	/*
	 * The first match cannot be run: the next one is taken, relative to the worker's
	 * directory.
	 */
	close(open(tool_a, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	fd = open(tool_b, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	ck_assert_int_eq(write(fd, "#!/bin/sh\necho b\n", 17), 17);
	close(fd);
	send_msg(&m);
	expect(SUP_STARTED);
	expect_exited();
	expect_output(1, "b\n");
	/* With nothing better the unusable one is the reason. */
	unlink(tool_b);
	send_msg(&m);
	m = expect(SUP_FAILED);
	ck_assert_int_eq(m.failed.error, EACCES);
}
END_TEST

/* ---- output ---- */

START_TEST(a_flood_is_bounded_and_counted)
{
	struct msg_exited e;
	struct output_read r;

	run_script(1, "head -c 104857600 /dev/zero; echo end");
	expect(SUP_STARTED);
	e = expect_exited();
	ck_assert_int_eq(e.output_bytes, 104857604);
	ck_assert_int_ge(e.dropped_bytes, 104857604 - LIMIT_BYTES);
	ck_assert_int_le(e.dropped_bytes, 104857604 - LIMIT_BYTES * 9 / 10);
	r = output(1, OUTPUT_BOTH);
	ck_assert_int_eq(r.next_offset, LIMIT_BYTES / 2);
	output_read_fini(&r);
	r.offset = r.next_offset;
	ck_assert_int_eq(output_read(&r), 0);
	ck_assert_int_eq(r.dropped, e.dropped_bytes);
	ck_assert_int_eq(memcmp(r.data + r.len - 4, "end\n", 4), 0);
	ck_assert_int_eq(r.next_offset, e.output_bytes);
	output_read_fini(&r);
}
END_TEST

START_TEST(bytes_are_bytes)
{
	struct output_read r;

	run_script(1, "head -c 100000 /dev/urandom | tee /proc/self/fd/2 | cat");
	expect(SUP_STARTED);
	ck_assert_int_eq(expect_exited().output_bytes, 200000);
	{
		struct output_read o = output(1, OUTPUT_STDOUT);

		r = output(1, OUTPUT_STDERR);
		ck_assert_uint_eq(o.len, 100000);
		ck_assert_uint_eq(r.len, 100000);
		ck_assert_int_eq(memcmp(o.data, r.data, 100000), 0);
		output_read_fini(&o);
		output_read_fini(&r);
	}
}
END_TEST

START_TEST(growth_is_told_and_waits_for_the_ack)
{
	struct msg m;

	run_script(1, "echo one; sleep 0.2; echo two; sleep 0.2; echo three; read x; sleep 0.2");
	expect(SUP_STARTED);
	m = next_message();
	ck_assert_int_eq(m.type, SUP_GREW);
	ck_assert_int_eq(m.grew_bytes, 4);
	/* Not acknowledged: nothing but the end is told. */
	m = next_message();
	ck_assert_int_eq(m.type, SUP_EXITED);
	ck_assert_int_eq(m.exited.output_bytes, 14);
}
END_TEST

/* ---- ends ---- */

START_TEST(a_polite_end)
{
	struct msg_exited e;
	int64_t begun;

	run_script(1, "sleep $1");
	expect(SUP_STARTED);
	wait_for_at_least(1);
	begun = now_ms();
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_lt(now_ms() - begun, 2000);
	ck_assert_int_eq(e.term_signal, SIGTERM);
	ck_assert_uint_eq(e.flags, 0);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(a_clean_up_has_its_grace)
{
	struct msg_exited e;

	run_script(1, "trap 'sleep 0.3; echo cleaned; exit 3' TERM; echo ready; sleep $1 & wait");
	expect(SUP_STARTED);
	wait_for_at_least(2);
	poll(NULL, 0, 50);
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_eq(e.exit_status, 3);
	expect_output(1, "ready\ncleaned\n");
}
END_TEST

/* T5: TERM at once, KILL after the grace, nobody left. */
static void kill_stubborn(const char *script, int n_processes)
{
	struct msg_exited e;
	int64_t begun, took;

	run_script(1, script);
	expect(SUP_STARTED);
	wait_for_at_least(n_processes);
	begun = now_ms();
	kill_job(1, 500000);
	e = expect_exited();
	took = now_ms() - begun;
	ck_assert_int_eq(count_marked(), 0);
	ck_assert_uint_eq(e.flags, SUP_EXITED_KILLED);
	ck_assert_msg(took >= 500 && took < 2000, "took %" PRId64 " ms", took);
}

START_TEST(it_ignores_term)
{
	kill_stubborn("trap '' TERM; sleep $1 & sleep $1", 2);
}
END_TEST

START_TEST(it_is_stopped)
{
	struct msg_exited e;

	run_script(1, "echo x; kill -STOP $$; sleep $1");
	expect(SUP_STARTED);
	poll(NULL, 0, 100);
	kill_job(1, 10000000);
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGTERM);
}
END_TEST

/* Finding 9: a group kill misses these; marks in the environment would miss the second. */
START_TEST(children_in_other_sessions)
{
	kill_stubborn("trap '' TERM; setsid sleep $1 & env -i setsid sleep $1 &"
		      "(setsid sh -c 'sleep $0 &' $1 &); sleep $1",
		      4);
}
END_TEST

START_TEST(double_forks_with_wiped_environments)
{
	kill_stubborn("trap '' TERM; (env -i setsid sh -c '(sleep $0 &) ; :' $1 &);"
		      "(env -i sh -c '(setsid sleep $0 &)' $1 &); sleep $1",
		      4);
}
END_TEST

START_TEST(it_forks_all_the_time)
{
	kill_stubborn("trap '' TERM; while :; do setsid sleep $1 & sleep 0.01; done", 10);
}
END_TEST

START_TEST(it_hops_from_child_to_child)
{
	cleanup_free char *hop = xasprintf("%s/hop", dir);
	FILE *f = fopen(hop, "we");

	/* Each is gone before anybody has seen it; eight at a time. */
	fprintf(f, "#!/bin/sh\ntrap '' TERM\nsetsid %s $1 &\n", hop);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(hop, 0755), 0);
	{
		cleanup_free char *script = xasprintf(
			"trap '' TERM; for i in 1 2 3 4 5 6 7 8; do %s $1 & done; sleep $1", hop);

		kill_stubborn(script, 3);
	}
}
END_TEST

START_TEST(a_shorter_grace_counts)
{
	int64_t begun;

	run_script(1, "trap '' TERM; sleep $1 & sleep $1");
	expect(SUP_STARTED);
	wait_for_at_least(2);
	kill_job(1, 3600000000);
	kill_job(1, 7200000000);
	begun = now_ms();
	kill_job(1, 0);
	expect_exited();
	ck_assert_int_lt(now_ms() - begun, 1500);
}
END_TEST

START_TEST(a_kill_right_behind_the_start)
{
	struct msg_exited e;

	run_script(1, "sleep $1");
	kill_job(1, 0);
	expect(SUP_STARTED);
	e = expect_exited();
	ck_assert_int_eq(e.term_signal, SIGKILL);
	/* And one that comes too late, or for nobody, is nothing. */
	kill_job(1, 0);
	kill_job(77, 0);
	run_script(2, "exit 0");
	expect(SUP_STARTED);
	expect_exited();
}
END_TEST

/* T6: the run ends within a second of the main process, with all that was written before. */
START_TEST(a_grandchild_holds_the_pipe)
{
	struct msg_exited e;
	int64_t begun = now_ms(), took;

	run_script(1, "(sleep $1 &); (setsid sleep $1 &); echo done");
	expect(SUP_STARTED);
	e = expect_exited();
	took = now_ms() - begun;
	ck_assert_msg(took >= 900 && took < 2500, "took %" PRId64 " ms", took);
	ck_assert_int_eq(e.exit_status, 0);
	ck_assert_uint_eq(e.n_leftovers, 2);
	ck_assert_int_eq(count_marked(), 0);
	expect_output(1, "done\n");
}
END_TEST

START_TEST(a_grandchild_without_the_pipe)
{
	struct msg_exited e;
	int64_t begun = now_ms();

	run_script(1, "setsid sleep $1 >/dev/null 2>&1 & echo done");
	expect(SUP_STARTED);
	e = expect_exited();
	ck_assert_int_lt(now_ms() - begun, 900);
	ck_assert_uint_eq(e.n_leftovers, 1);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(a_hundred_at_once)
{
	bool seen[101] = { false };
	int n_started = 0, n_exited = 0;

	for (int64_t job = 1; job <= 100; job++)
		run_script(job, "echo hi; sleep 0.3");
	while (n_exited < 100) {
		struct msg m = next_message();

		n_started += m.type == SUP_STARTED;
		if (m.type != SUP_EXITED)
			continue;
		ck_assert(m.job >= 1 && m.job <= 100 && !seen[m.job]);
		seen[m.job] = true;
		ck_assert_int_eq(m.exited.exit_status, 0);
		expect_output(m.job, "hi\n");
		n_exited++;
	}
	ck_assert_int_eq(n_started, 100);
}
END_TEST

/* ---- somebody else dies ---- */

START_TEST(the_minder_is_killed)
{
	struct tree_stat st;
	struct msg m;

	run_script(1, "(setsid sleep $1 &); env -i setsid sleep $1 & sleep $1");
	m = expect(SUP_STARTED);
	wait_for_at_least(3);
	ck_assert_int_eq(tree_read_stat(m.started.pid, &st), 0);
	ck_assert_int_eq(kill(st.ppid, SIGKILL), 0);
	m = expect(SUP_EXITED);
	ck_assert_uint_eq(m.exited.flags, SUP_EXITED_LOST);
	ck_assert_int_eq(m.exited.exit_status, -1);
	ck_assert_int_eq(count_marked(), 0);
	/* The others are none the worse for it. */
	run_script(2, "exit 0");
	expect(SUP_STARTED);
	ck_assert_int_eq(expect_exited().exit_status, 0);
}
END_TEST

static void run_three_trees(void)
{
	for (int64_t job = 1; job <= 3; job++)
		run_script(job, "trap '' TERM; (env -i setsid sleep $1 &); sleep $1 & sleep $1");
	wait_for_at_least(12);
}

START_TEST(the_supervisor_is_killed)
{
	run_three_trees();
	ck_assert_int_eq(kill(supervisor, SIGKILL), 0);
	wait_for_supervisor();
	wait_for_marked(0);
}
END_TEST

START_TEST(the_daemon_is_killed)
{
	run_three_trees();
	close(sock);
	sock = -1;
	ck_assert_int_eq(wait_for_supervisor(), 0);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(nonsense_ends_the_connection)
{
	run_three_trees();
	ck_assert_int_eq(send(sock, "\4\0\0\0\xff\xff\0\0", 8, MSG_NOSIGNAL), 8);
	ck_assert_int_eq(WEXITSTATUS(wait_for_supervisor()), 1);
	ck_assert_int_eq(count_marked(), 0);
}
END_TEST

START_TEST(signals_are_for_the_daemon)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(kill(supervisor, signals[i]), 0);
	run_script(1, "exit 0");
	expect(SUP_STARTED);
	expect_exited();
}
END_TEST

/* ---- leftovers, by identity (R3.9) ---- */

static pid_t fork_leftover(void)
{
	static const char *env[] = { "PATH=/usr/bin:/bin", "AWAITD_JOB_ID=55", "AWAITD_ATTEMPT=3",
				     NULL };
	pid_t pid = fork();

	if (pid == 0) {
		setsid();
		execle("/bin/sh", "sh", "-c", "(sleep $1 &); sleep $1 & sleep $1; :", "sh", mark,
		       (char *)NULL, env);
		_exit(1);
	}
	wait_for_at_least(4);
	return pid;
}

START_TEST(leftovers_are_ended_by_identity)
{
	struct tree_identity id = { .job = 55, .attempt = 3 }, other;
	struct tree_stat st;

	id.pid = fork_leftover();
	ck_assert_int_eq(tree_read_stat(id.pid, &st), 0);
	id.start_ticks = st.start_ticks;
	/*
	 * The number has changed hands: it started later than what we are looking for, and
	 * is not of our job.
	 */
	other = id;
	other.start_ticks--;
	other.job = 56;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	other.job = 55;
	other.attempt = 4;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	other = id;
	other.start_ticks += 100000;
	ck_assert_uint_eq(tree_end_leftover(&other, 100), 0);
	ck_assert_int_eq(count_marked(), 4);
	ck_assert_uint_eq(tree_end_leftover(&id, 5000), 0);
	waitpid(id.pid, NULL, 0);
	wait_for_marked(0);
}
END_TEST

/* The main process is gone, its session lives on. */
START_TEST(leftovers_without_their_leader)
{
	struct tree_identity id = { .job = 55, .attempt = 3 };
	struct tree_stat st;

	id.pid = fork_leftover();
	ck_assert_int_eq(tree_read_stat(id.pid, &st), 0);
	id.start_ticks = st.start_ticks;
	kill(id.pid, SIGKILL);
	waitpid(id.pid, NULL, 0);
	ck_assert_int_eq(count_marked(), 3);
	ck_assert_uint_eq(tree_end_leftover(&id, 5000), 0);
	wait_for_marked(0);
}
END_TEST

static void add_start_tests(Suite *s)
{
	TCase *t = tcase_create("start");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_program_runs_and_ends);
	tcase_add_test(t, what_cannot_run_is_named);
	tcase_add_test(t, a_log_that_cannot_be_opened);
	tcase_add_test(t, a_worker_starts_clean);
	tcase_add_test(t, stdin_is_delivered_whole);
	tcase_add_test(t, path_is_the_workers_own);
	tcase_add_test(t, a_flood_is_bounded_and_counted);
	tcase_add_test(t, bytes_are_bytes);
	tcase_add_test(t, growth_is_told_and_waits_for_the_ack);
	suite_add_tcase(s, t);
}

static void add_end_tests(Suite *s)
{
	TCase *t = tcase_create("end");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, a_polite_end);
	tcase_add_test(t, a_clean_up_has_its_grace);
	tcase_add_test(t, it_ignores_term);
	tcase_add_test(t, it_is_stopped);
	tcase_add_test(t, children_in_other_sessions);
	tcase_add_test(t, double_forks_with_wiped_environments);
	tcase_add_test(t, it_forks_all_the_time);
	tcase_add_test(t, it_hops_from_child_to_child);
	tcase_add_test(t, a_shorter_grace_counts);
	tcase_add_test(t, a_kill_right_behind_the_start);
	tcase_add_test(t, a_grandchild_holds_the_pipe);
	tcase_add_test(t, a_grandchild_without_the_pipe);
	tcase_add_test(t, a_hundred_at_once);
	tcase_add_test(t, the_minder_is_killed);
	tcase_add_test(t, the_supervisor_is_killed);
	tcase_add_test(t, the_daemon_is_killed);
	tcase_add_test(t, nonsense_ends_the_connection);
	tcase_add_test(t, signals_are_for_the_daemon);
	tcase_add_test(t, leftovers_are_ended_by_identity);
	tcase_add_test(t, leftovers_without_their_leader);
	suite_add_tcase(s, t);
}

int main(void)
{
	Suite *s = suite_create("worker_tree");
	SRunner *sr;
	int n_failed;

	if (!getenv("AWAITD_SUPERVISOR")) {
		fprintf(stderr, "AWAITD_SUPERVISOR does not say where the program is\n");
		return 77;
	}
	add_start_tests(s);
	add_end_tests(s);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	n_failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
