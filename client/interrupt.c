/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int event = -1;
static volatile sig_atomic_t n_caught;

static void on_signal(int signo)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n;

	(void)signo;
	if (++n_caught > 1)
		_exit(130);
	n = write(event, &one, sizeof(one));
	(void)n; /* the counter cannot be full after one signal */
	errno = saved;
}

void interrupt_catch(void)
{
	/*
	 * SA_RESTART: a half-written line of output must not be lost; waits look at the
	 * descriptor.
	 */
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	if (event >= 0)
		return;
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return;
	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int interrupt_fd(void)
{
	return event;
}

bool interrupt_take(void)
{
	uint64_t count;

	return event >= 0 && read(event, &count, sizeof(count)) == (ssize_t)sizeof(count);
}
