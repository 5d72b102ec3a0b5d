/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/xalloc.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define REPORT_FD 3
/* Where close_range() is missing: more than any limit we set ourselves. */
#define CLOSE_MAX 65536

/* Everything the child needs, made before it exists. */
struct plan {
	const struct msg_start *start;
	char *program; /* owns */
	int stdin_fd;
	int stdout_pipe[2], stderr_pipe[2];
	int report_pipe[2]; /* CLOEXEC: what comes out of it is a failure before exec, or EOF */
	pid_t parent;
};

struct report {
	uint32_t stage;
	int32_t error;
};

void spawn_close_from(unsigned first)
{
	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	for (int fd = (int)first; fd < CLOSE_MAX; fd++)
		close(fd);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void plan_fini(struct plan *p)
{
	free(p->program);
	close_fd(&p->stdin_fd);
	for (int i = 0; i < 2; i++) {
		close_fd(&p->stdout_pipe[i]);
		close_fd(&p->stderr_pipe[i]);
		close_fd(&p->report_pipe[i]);
	}
}

/*
 * A file in memory: unlike a pipe it takes all of the text at once, whether the worker reads
 * it or not.
 */
static int open_stdin(const struct msg_start *s)
{
	size_t done = 0;
	int fd;

	if (!s->stdin_text) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	fd = memfd_create("stdin", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < s->stdin_len) {
		ssize_t n = write(fd, s->stdin_text + done, s->stdin_len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = -errno;

			close(fd);
			return r;
		}
		done += (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static const char *env_value(const char **env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

/* 0, -ENOENT, or -EACCES: there is such a file, but it cannot be run. */
static int is_runnable(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES ? -EACCES : -ENOENT;
	if (!S_ISREG(st.st_mode) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
		return -EACCES;
	return 0;
}

/*
 * argv[0] to a path: as it is when it has a slash, else the first match in
 * the worker's own PATH.  As in execvp(3) a match that may not be run is
 * passed over, and is the reason when nothing better comes.
 */
static int find_program(const struct msg_start *s, char **ret)
{
	const char *name = s->argv[0], *path = env_value(s->env, "PATH");
	int result = -ENOENT;

	if (name[0] == '\0')
		return -ENOENT;
	if (strchr(name, '/')) {
		*ret = xstrdup(name);
		return 0;
	}
	for (const char *dir = path ? path : DEFAULT_PATH, *end; dir; dir = *end ? end + 1 : NULL) {
		cleanup_free char *candidate = NULL;
		int len, r;

		end = strchrnul(dir, ':');
		len = (int)(end - dir);
		/* Relative ones are relative to where the worker will be. */
		if (dir[0] == '/')
			candidate = xasprintf("%.*s/%s", len, dir, name);
		else
			candidate = xasprintf("%s/%.*s/%s", s->cwd, len, dir, name);
		r = is_runnable(candidate);
		if (r == 0) {
			*ret = candidate;
			candidate = NULL;
			return 0;
		}
		if (r == -EACCES)
			result = r;
	}
	return result;
}

static int prepare(struct plan *p, enum msg_stage *ret_stage)
{
	const struct msg_start *s = p->start;
	int r;

	*ret_stage = STAGE_EXEC;
	r = find_program(s, &p->program);
	if (r < 0)
		return r;
	*ret_stage = STAGE_STDIN;
	p->stdin_fd = open_stdin(s);
	if (p->stdin_fd < 0)
		return p->stdin_fd;
	*ret_stage = STAGE_PIPE;
	if (pipe2(p->stdout_pipe, O_CLOEXEC) < 0 || pipe2(p->stderr_pipe, O_CLOEXEC) < 0 ||
	    pipe2(p->report_pipe, O_CLOEXEC) < 0 ||
	    fcntl(p->stdout_pipe[0], F_SETFL, O_NONBLOCK) < 0 ||
	    fcntl(p->stderr_pipe[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void __attribute__((noreturn)) child_fail(int report_fd, enum msg_stage stage)
{
	struct report report = { (uint32_t)stage, errno };

	(void)!write(report_fd, &report, sizeof(report));
	_exit(127);
}

/*
 * The two that the C library keeps for itself and sigaction() refuses: its
 * posix_spawn(), by which make and others start us, leaves them ignored.
 */
static void default_internal_signals(void)
{
	const struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		unsigned long mask;
	} deflt = { 0 };

	for (int signo = 32; signo < SIGRTMIN; signo++)
		(void)syscall(SYS_rt_sigaction, signo, &deflt, NULL, sizeof(deflt.mask));
}

/* Ignored ones too: CLONE_CLEAR_SIGHAND and execve both leave an ignored SIGPIPE ignored. */
static void default_signals(void)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	for (int signo = 1; signo < NSIG; signo++)
		sigaction(signo, &sa, NULL);
	default_internal_signals();
}

/* At most @soft and @hard, and never more than we have ourselves.  0, or -1 with errno. */
static int lower(int resource, rlim_t soft, rlim_t hard)
{
	struct rlimit l;

	if (getrlimit(resource, &l) < 0)
		return -1;
	l.rlim_max = hard < l.rlim_max ? hard : l.rlim_max;
	l.rlim_cur = soft < l.rlim_max ? soft : l.rlim_max;
	return setrlimit(resource, &l);
}

static int limit_files(const struct msg_start *s)
{
	struct rlimit files;

	if (!s->needs_files)
		return lower(RLIMIT_NOFILE, s->n_files, RLIM_INFINITY);
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	/* Also for root, who could raise it: what there is to have is for whoever set ours. */
	if (s->n_files > files.rlim_max) {
		errno = EPERM;
		return -1;
	}
	return lower(RLIMIT_NOFILE, s->n_files, s->n_files);
}

/*
 * SIGXCPU at the soft limit says what happened; SIGKILL at the hard one is for
 * a program that catches it, which has a second to clean up.
 */
static int set_limits(const struct msg_start *s)
{
	rlim_t cpu_s = (rlim_t)s->cpu_s, memory_bytes = (rlim_t)s->memory_bytes;

	if (lower(RLIMIT_CORE, 0, 0) < 0 || limit_files(s) < 0)
		return -1;
	if (cpu_s && lower(RLIMIT_CPU, cpu_s, cpu_s + 1) < 0)
		return -1;
	return memory_bytes ? lower(RLIMIT_AS, memory_bytes, memory_bytes) : 0;
}

/*
 * R3.3, in its order.  Runs in memory shared with the parent, which waits: changes nothing
 * in it.
 */
static void __attribute__((noreturn)) child_main(const struct plan *p)
{
	const struct msg_start *s = p->start;
	int report_fd = p->report_pipe[1];
	sigset_t none;

	if (setsid() < 0)
		child_fail(report_fd, STAGE_SESSION);
	if (dup2(p->stdin_fd, 0) < 0 || dup2(p->stdout_pipe[1], 1) < 0 ||
	    dup2(p->stderr_pipe[1], 2) < 0 ||
	    (report_fd != REPORT_FD && dup3(report_fd, REPORT_FD, O_CLOEXEC) < 0))
		child_fail(report_fd, STAGE_STDIO);
	report_fd = REPORT_FD;
	spawn_close_from(REPORT_FD + 1);
	default_signals();
	if (set_limits(s) < 0)
		child_fail(report_fd, STAGE_LIMITS);
	umask((mode_t)s->umask);
	/* The only one here that is refused for want of rights. */
	if (s->has_nice && setpriority(PRIO_PROCESS, 0, s->nice) < 0)
		child_fail(report_fd, STAGE_NICE);
	if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		child_fail(report_fd, STAGE_LIMITS);
	if (chdir(s->cwd) < 0)
		child_fail(report_fd, STAGE_CWD);
	/* Should whoever watches it be killed, the worker goes too. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != p->parent) {
		errno = ESRCH;
		child_fail(report_fd, STAGE_SESSION);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(p->program, (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)s->env);
	child_fail(report_fd, STAGE_EXEC);
}

/*
 * vfork: the child borrows our memory until its execve, which is what makes
 * starting cheap (a fork copies page tables: half as much again per start,
 * measured).  It is safe here: one thread, every signal blocked and without
 * handlers of ours, and child_main() writes nothing but its own frame.
 */
static pid_t start_child(const struct plan *p)
{
	pid_t pid = vfork();

	if (pid == 0)
		child_main(p);
	return pid;
}

static int read_report(int fd, enum msg_stage *ret_stage)
{
	struct report report;
	ssize_t n;

	do
		n = read(fd, &report, sizeof(report));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(report))
		return 0;
	*ret_stage = report.stage < N_SUP_STAGES ? (enum msg_stage)report.stage : STAGE_EXEC;
	return report.error > 0 ? -report.error : -EIO;
}

static int run(struct plan *p, struct spawned *ret, enum msg_stage *ret_stage)
{
	pid_t pid = start_child(p);
	int r;

	if (pid < 0) {
		*ret_stage = STAGE_FORK;
		return -errno;
	}
	close_fd(&p->report_pipe[1]);
	r = read_report(p->report_pipe[0], ret_stage);
	if (r < 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	*ret = (struct spawned){ pid, p->stdout_pipe[0], p->stderr_pipe[0] };
	p->stdout_pipe[0] = p->stderr_pipe[0] = -1;
	return 0;
}

int spawn_worker(const struct msg_start *start, struct spawned *ret, enum msg_stage *ret_stage)
{
	struct plan p = {
		.start = start,
		.stdin_fd = -1,
		.stdout_pipe = { -1, -1 },
		.stderr_pipe = { -1, -1 },
		.report_pipe = { -1, -1 },
		.parent = getpid(),
	};
	int r = prepare(&p, ret_stage);

	if (r == 0)
		r = run(&p, ret, ret_stage);
	plan_fini(&p);
	return r;
}
