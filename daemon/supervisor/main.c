/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/now.h"
#include "daemon/base/stdfds.h"
#include "daemon/supervisor/router.h"

/*
 * awaitd-supervisor: runs the workers of one awaitd, which starts it with a
 * socket as descriptor 3.  It lives as long as that socket does: signals that
 * ask for an end are for awaitd, which ends its workers in order first.
 */
#define DAEMON_FD 3

static int check_socket(void)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(DAEMON_FD, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return -ENOTSOCK;
	return fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int set_signals(void)
{
	static const int ignored[] = { SIGHUP,	SIGINT,	 SIGQUIT, SIGTERM, SIGPIPE,
				       SIGUSR1, SIGUSR2, SIGXFSZ, SIGTSTP };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, deflt = { .sa_handler = SIG_DFL };
	sigset_t child;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (sigaction(ignored[i], &ignore, NULL) < 0)
			return -errno;
	/* An inherited SIG_IGN here would reap behind our back. */
	if (sigaction(SIGCHLD, &deflt, NULL) < 0)
		return -errno;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	return sigprocmask(SIG_SETMASK, &child, NULL) < 0 ? -errno : 0;
}

/* What protects awaitd from the OOM killer is not for its workers (R3.1). */
static void drop_oom_protection(void)
{
	static const char file[] = "/proc/self/oom_score_adj";
	char text[16] = "";
	int fd = open(file, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && text[0] == '-')
		(void)!pwrite(fd, "0", 1, 0);
	close(fd);
}

/* A descriptor per running worker. */
static void raise_nofile(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	files.rlim_cur = files.rlim_max;
	(void)!setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	int r;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("awaitd-supervisor %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (argc > 1 || check_socket() < 0) {
		fprintf(stderr, "awaitd-supervisor runs the workers of awaitd, which starts it; "
				"there is nothing to do by hand\n");
		return 2;
	}
	r = stdfds_fill();
	if (r == 0)
		r = set_signals();
	if (r == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r < 0) {
		fprintf(stderr, "awaitd-supervisor: cannot start: %s\n", strerror(-r));
		return 1;
	}
	raise_nofile();
	drop_oom_protection();
	umask(077);
	now_boot_id(); /* read once here rather than in each minder */
	return router_run(DAEMON_FD);
}
