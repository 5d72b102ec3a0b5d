/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

#include "daemon/conf.h"
#include "daemon/job/jobdir.h"
#include "daemon/kinds/proc.h"
#include "daemon/kinds/workenv.h"
#include "daemon/log.h"
#include "daemon/supervisor/tree.h"
#include "proto/jobdoc.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* How long a leftover of another life of the daemon may take to die. */
#define LEFTOVER_MS 10000
#define RESULTS_SUFFIX "results.json"
/*
 * With less than this for each second of limits.cpu it was somebody else's
 * SIGKILL.  The kernel counts whole ticks for the limit, and finer for the usage.
 */
#define SURE_US_PER_SECOND 500000
/* With a smaller limit it may be that nothing is kept of what it wrote. */
#define OUTPUT_SURE_BYTES 4096

/* A program under the supervisor. */
struct worker {
	struct attempt *attempt;
	struct proc proc;
};

static void on_grew(struct proc *p)
{
	attempt_output_grew(container_of(p, struct worker, proc)->attempt);
}

static void on_exited(struct proc *p)
{
	(void)attempt_end_seen(container_of(p, struct worker, proc)->attempt);
}

/* The results that the program may read, beside where its output will be. */
static int write_results(void *arg)
{
	const struct attempt *a = arg;
	const char *results = attempt_results(a);
	cleanup_free char *path = jobdir_path(a->id, a->attempt, RESULTS_SUFFIX);
	int r = jobdir_make(a->id), fd;
	ssize_t n;

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while (*results && (n = write(fd, results, strlen(results))) >= 0)
		results += n;
	r = *results ? -errno : 0;
	return close(fd) < 0 && r == 0 ? -errno : r;
}

static const char **argv_of(const json_t *spec)
{
	const json_t *list = json_object_get(spec, "argv");
	size_t n = json_array_size(list);
	const char **argv = xcalloc(n + 1, sizeof(char *));

	for (size_t i = 0; i < n; i++)
		argv[i] = json_string_value(json_array_get(list, i));
	return argv;
}

static uint32_t umask_of(const json_t *spec)
{
	const char *text = jobdoc_string(spec, "umask", NULL);

	return text ? (uint32_t)strtoul(text, NULL, 8) : (uint32_t)conf->umask;
}

static const json_t *limits_of(const json_t *spec)
{
	return json_object_get(spec, "limits");
}

/* In whole seconds, which is what the kernel has; 0 = none. */
static int64_t cpu_limit_s(const json_t *spec)
{
	return (jobdoc_duration_us(limits_of(spec), "cpu", 0) + 999999) / 1000000;
}

static int64_t output_limit_bytes(const json_t *spec)
{
	int64_t bytes = jobdoc_integer(limits_of(spec), "output", INT64_MAX);

	return bytes < conf->output_limit_bytes ? bytes : conf->output_limit_bytes;
}

/* The message borrows from the document, the environment and the path. */
static int start(struct worker *w)
{
	struct attempt *a = w->attempt;
	const json_t *spec = a->doc.spec, *input = json_object_get(spec, "stdin");
	const json_t *limits = limits_of(spec);
	cleanup_free const char **argv = argv_of(spec);
	cleanup_free char *log_path = jobdir_path(a->id, a->attempt, "log");
	cleanup_free char *results_path =
		attempt_results(a) ? jobdir_path(a->id, a->attempt, RESULTS_SUFFIX) : NULL;
	char **env = workenv_make(a, json_object_get(spec, "env"), results_path);
	const struct msg_start m = {
		.argv = argv,
		.env = (const char **)env,
		.cwd = jobdoc_string(spec, "cwd", workenv_home()),
		.log_path = log_path,
		.stdin_text = json_string_value(input),
		.stdin_len = json_string_length(input),
		.log_limit_bytes = output_limit_bytes(spec),
		.output_wait_us = conf->output_wait_us,
		.cpu_s = cpu_limit_s(spec),
		.memory_bytes = jobdoc_integer(limits, "memory", 0),
		.n_files = (uint32_t)jobdoc_integer(limits, "files", conf->open_files),
		.needs_files = json_object_get(limits, "files"),
		.umask = umask_of(spec),
		.nice = (int32_t)jobdoc_integer(spec, "nice", 0),
		.has_nice = json_object_get(spec, "nice"),
		.no_new_privs = conf->is_system,
	};
	int r;

	w->proc.job = a->id;
	w->proc.attempt = a->attempt;
	w->proc.grew = on_grew;
	w->proc.exited_fn = on_exited;
	r = proc_start(&w->proc, &m);
	workenv_free(env);
	return r;
}

/* ---- what became of it ---- */

static int fail_exec(const struct attempt *a, int error, struct aw_err *err)
{
	const char *program =
		json_string_value(json_array_get(json_object_get(a->doc.spec, "argv"), 0));
	const json_t *env = json_object_get(a->doc.spec, "env");
	bool has_memory_limit = json_object_get(limits_of(a->doc.spec), "memory");
	bool has_path = json_object_get(env, "PATH"); /* its value is a secret, as all of env */

	if (error == ENOENT && !strchr(program, '/'))
		return aw_fail(err, AW_SPAWN,
			       "cannot run \"%s\": there is no such program in %s, or the "
			       "interpreter its first line names does not exist; install it, or "
			       "give its whole path",
			       program,
			       has_path ? "the PATH that its env sets" : "the worker's PATH");
	if (error == ENOENT)
		return aw_fail(err, AW_SPAWN,
			       "cannot run \"%s\": the file, or the interpreter its first line "
			       "names, does not exist",
			       program);
	if (error == EACCES)
		return aw_fail(err, AW_SPAWN,
			       "cannot run \"%s\": permission denied; is it executable (chmod +x) "
			       "and may awaitd's user reach it?",
			       program);
	if (error == ENOEXEC)
		return aw_fail(err, AW_SPAWN,
			       "cannot run \"%s\": it is no program; a script needs a first line "
			       "like #!/bin/sh",
			       program);
	if (error == E2BIG)
		return aw_fail(err, AW_SPAWN,
			       "cannot run \"%s\": arguments and environment together are longer "
			       "than the kernel takes (a quarter of the stack's limit, as a rule "
			       "2 MiB%s); use stdin or a file",
			       program,
			       has_memory_limit ? ", and never more than limits.memory" : "");
	return aw_fail(err, AW_SPAWN, "cannot run \"%s\": %s", program, strerror(error));
}

static int fail_spawn(const struct attempt *a, unsigned stage, int error, struct aw_err *err)
{
	const json_t *limits = limits_of(a->doc.spec);

	if (stage == STAGE_EXEC)
		fail_exec(a, error, err);
	else if (stage == STAGE_CWD)
		aw_fail(err, AW_SPAWN,
			"cannot enter the working directory \"%s\": %s; make it, or "
			"give another cwd",
			jobdoc_string(a->doc.spec, "cwd", workenv_home()), strerror(error));
	else if (stage == STAGE_NICE)
		aw_fail(err, AW_SPAWN,
			"awaitd may not give it the nice value %d: %s; ask for a higher one, or "
			"raise LimitNICE= of its service",
			(int)jobdoc_integer(a->doc.spec, "nice", 0), strerror(error));
	else if (stage == STAGE_LIMITS && error == EPERM && json_object_get(limits, "files"))
		aw_fail(err, AW_SPAWN,
			"awaitd may not give it %d open files (limits.files): its own hard limit "
			"is lower; ask for fewer, or raise LimitNOFILE= of its service",
			(int)jobdoc_integer(limits, "files", 0));
	else
		aw_fail(err, AW_SPAWN, "the worker could not be started (%s): %s",
			msg_stage_name(stage), strerror(error));
	aw_err_fact(err, "stage", json_string(msg_stage_name(stage)));
	aw_err_fact(err, "errno", json_string(strerrorname_np(error)));
	return -EINVAL;
}

static json_t *signal_json(int signo)
{
	const char *abbrev = sigabbrev_np(signo);

	if (signo == 0)
		return json_null();
	return abbrev ? json_sprintf("SIG%s", abbrev)
		      : json_sprintf("SIGRTMIN+%d", signo - SIGRTMIN);
}

static void set_result(struct attempt *a, const struct msg_exited *e)
{
	json_t *result = json_object();

	json_object_set_new(result, "exit",
			    e->exit_status < 0 ? json_null() : json_integer(e->exit_status));
	json_object_set_new(result, "signal", signal_json(e->term_signal));
	json_object_set_new(result, "user_time", json_real((double)e->user_us / 1e6));
	json_object_set_new(result, "system_time", json_real((double)e->system_us / 1e6));
	json_object_set_new(result, "max_rss", json_integer(e->max_rss_bytes));
	attempt_set_result(a, result);
}

static bool is_success(const json_t *spec, int exit_status)
{
	const json_t *list = json_object_get(spec, "success");

	if (!list)
		return exit_status == 0;
	for (size_t i = 0; i < json_array_size(list); i++)
		if (json_integer_value(json_array_get(list, i)) == exit_status)
			return true;
	return false;
}

static bool is_memory_signal(int signo)
{
	return signo == SIGSEGV || signo == SIGBUS || signo == SIGABRT;
}

/* What its own limits have to do with the signal, as far as that can be known; "" = nothing. */
static void explain_signal(const json_t *spec, const struct msg_exited *e, char ret[160])
{
	int64_t cpu_s = cpu_limit_s(spec), used_us = e->user_us + e->system_us;
	int64_t memory = jobdoc_integer(limits_of(spec), "memory", 0);

	*ret = '\0';
	if (cpu_s && e->term_signal == SIGXCPU)
		snprintf(ret, 160,
			 ": it used more processor time than limits.cpu allows (%" PRId64 " s)",
			 cpu_s);
	else if (cpu_s && e->term_signal == SIGKILL && !(e->flags & SUP_EXITED_KILLED) &&
		 used_us >= cpu_s * SURE_US_PER_SECOND)
		snprintf(ret, 160,
			 " after %.1f s of processor time: limits.cpu allows a process %" PRId64
			 " s, and SIGKILL follows a second after SIGXCPU",
			 (double)used_us / 1e6, cpu_s);
	else if (memory && is_memory_signal(e->term_signal))
		snprintf(ret, 160,
			 ": perhaps limits.memory (%" PRId64 " bytes) is too little for it",
			 memory);
}

static int fail_signal(const struct attempt *a, const struct msg_exited *e, struct aw_err *err)
{
	json_t *name = signal_json(e->term_signal);
	char why[160];

	explain_signal(a->doc.spec, e, why);
	aw_fail(err, AW_SIGNAL, "the program was ended by %s%s", json_string_value(name), why);
	aw_err_fact(err, "signal", name);
	return -EINVAL;
}

static int judge(const struct attempt *a, const struct msg_exited *e, struct aw_err *err)
{
	/* A shell's status when what it ran was ended by the signal. */
	bool is_cpu = cpu_limit_s(a->doc.spec) && e->exit_status == 128 + SIGXCPU;

	if (e->term_signal)
		return fail_signal(a, e, err);
	if (is_success(a->doc.spec, e->exit_status))
		return 0;
	aw_fail(err, AW_EXIT,
		"the program ended with status %d%s; \"awaitctl output %" PRId64
		"\" shows what it said",
		e->exit_status,
		is_cpu ? " (SIGXCPU: more processor time than limits.cpu allows)" : "", a->id);
	aw_err_fact(err, "exit", json_integer(e->exit_status));
	return -EINVAL;
}

/* ---- identity, for a daemon that comes after us ---- */

static void keep_handle(struct attempt *a, const struct msg_started *s)
{
	cleanup_free char *handle = xasprintf("%d %" PRIu64 " %s %" PRId64 " %u", s->pid,
					      s->start_ticks, s->boot_id, a->id, a->attempt);

	attempt_set_handle(a, "local", handle);
}

static void end_identity(const struct tree_identity *id)
{
	size_t n_left = tree_end_leftover(id, LEFTOVER_MS);

	if (n_left)
		log_error("job %" PRId64 ": %zu processes of a cut-off attempt cannot be ended, "
			  "process %d among them",
			  id->job, n_left, (int)id->pid);
}

static void worker_end_leftover(const struct leftover *left)
{
	struct tree_identity id = { 0 };
	char boot_id[SUP_BOOT_ID_BYTES];
	int pid;

	/* Another boot: the number may be anybody's by now, and what we started is gone. */
	if (!left->executor || strcmp(left->executor, "local") != 0 || !left->handle ||
	    sscanf(left->handle, "%d %" SCNu64 " %39s %" SCNd64 " %u", &pid, &id.start_ticks,
		   boot_id, &id.job, &id.attempt) != 5 ||
	    pid <= 1 || strcmp(boot_id, now_boot_id()) != 0)
		return;
	id.pid = pid;
	end_identity(&id);
}

static int end_lost(void *arg)
{
	const struct worker *w = arg;
	const struct tree_identity id = {
		.pid = w->proc.started.pid,
		.start_ticks = w->proc.started.start_ticks,
		.job = w->proc.job,
		.attempt = w->proc.attempt,
	};

	end_identity(&id);
	return 0;
}

/* ---- the document ---- */

/* More open files than we may have ourselves are not ours to give. */
static int worker_check(struct jobdoc *d, struct aw_err *err)
{
	int64_t n_files = jobdoc_integer(limits_of(d->spec), "files", 0);
	struct rlimit own;

	if (!n_files || getrlimit(RLIMIT_NOFILE, &own) < 0 || (rlim_t)n_files <= own.rlim_max)
		return 0;
	return aw_fail_at(err, AW_PARAMS, "/limits/files",
			  "\"files\" in \"limits\" must be at most %llu here, awaitd's own hard "
			  "limit; LimitNOFILE= of its service raises it",
			  (unsigned long long)own.rlim_max);
}

/* ---- the attempt ---- */

static int64_t grace_left_us(const struct attempt *a)
{
	int64_t left_ns = attempt_grace_end(a).ns - now_mono().ns;

	return left_ns > 0 ? left_ns / 1000 : 0;
}

/*
 * Wait until the tree is gone.  Each cancel that arrives tells the supervisor
 * (the first one stops it, a later one may have a shorter grace), and the
 * wait goes on: the attempt ends only when nothing of it is left.
 */
static int co_until_gone(struct worker *w)
{
	bool is_cancelled = false, has_handle = false;

	while (w->proc.state == PROC_ASKED || w->proc.state == PROC_RUNNING) {
		if (co_proc_wait(&w->proc, w->proc.state) == -ECANCELED) {
			is_cancelled = true;
			proc_kill(&w->proc, grace_left_us(w->attempt));
		}
		if (w->proc.state == PROC_RUNNING && !has_handle) {
			keep_handle(w->attempt, &w->proc.started);
			has_handle = true;
		}
	}
	return is_cancelled ? -ECANCELED : 0;
}

/* A limit that is one leaves a head and a tail: nothing at all is the disk's doing. */
static void tell_unkept(const struct proc *p, const json_t *spec)
{
	const struct msg_exited *e = &p->exited;

	if (e->output_bytes > 0 && e->dropped_bytes == e->output_bytes &&
	    output_limit_bytes(spec) >= OUTPUT_SURE_BYTES)
		log_warning("job %" PRId64 ": none of its output (%" PRId64
			    " bytes) could be kept: "
			    "is the disk full, or the folder \"output\" not ours?",
			    p->job, e->output_bytes);
}

static int finish(struct worker *w, struct aw_err *err)
{
	switch (w->proc.state) {
	case PROC_EXITED:
		tell_unkept(&w->proc, w->attempt->doc.spec);
		set_result(w->attempt, &w->proc.exited);
		return judge(w->attempt, &w->proc.exited, err);
	case PROC_FAILED:
		return fail_spawn(w->attempt, w->proc.failed.stage, w->proc.failed.error, err);
	case PROC_LOST:
	case PROC_ASKED:
	case PROC_RUNNING:
		break;
	}
	if (w->proc.started.pid > 0)
		co_offload(end_lost, w);
	return aw_fail(err, AW_LOST,
		       "the supervisor was killed while it ran: how it ended is not known; look "
		       "whether its work was done, then submit it again");
}

static int co_write_results(struct attempt *a, struct aw_err *err)
{
	int r = co_offload(write_results, a);

	if (r < 0)
		return aw_fail(err, r == -ENOSPC ? AW_STORAGE_FULL : AW_IO,
			       "cannot write down the results for the program: %s", strerror(-r));
	/* Not started, rather than started and killed. */
	return coro_is_cancelled() ? -ECANCELED : 0;
}

static int co_worker_run(struct attempt *a, const json_t *saved, struct aw_err *err)
{
	struct worker *w = a->priv;
	int r = 0, cancelled;

	(void)saved;
	w->attempt = a;
	if (attempt_results(a))
		r = co_write_results(a, err);
	if (r < 0)
		return r;
	r = start(w);
	if (r == -E2BIG)
		return fail_spawn(a, STAGE_EXEC, E2BIG, err);
	if (r < 0)
		return aw_fail(
			err, AW_SPAWN,
			"awaitd's supervisor cannot be started: %s; is awaitd installed whole?",
			strerror(-r));
	cancelled = co_until_gone(w);
	r = finish(w, err);
	proc_forget(&w->proc);
	return cancelled ? cancelled : r;
}

static void worker_fini(struct attempt *a)
{
	struct worker *w = a->priv;

	if (w && w->attempt)
		proc_forget(&w->proc);
}

extern const struct kind kind_worker;
const struct kind kind_worker = {
	.kind = JOB_WORKER,
	.private_bytes = sizeof(struct worker),
	.check = worker_check,
	.co_run = co_worker_run,
	.end_leftover = worker_end_leftover,
	.fini = worker_fini,
};
