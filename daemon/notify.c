/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/notify.h"

#ifdef HAVE_LIBSYSTEMD

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#include "daemon/base/now.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"

/* For what comes after the last worker: answers, the store's last commit, a checkpoint. */
#define STOP_SPARE_US INT64_C(10000000)

static struct loop_timer watchdog;
static int64_t watchdog_interval_us;

int notify_listen_fds(int *ret_fds, int max)
{
	int n = sd_listen_fds(1);

	if (n <= 0)
		return n;
	if (n > max)
		return -E2BIG;
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i, flags;

		if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0)
			return -ENOTSOCK;
		flags = fcntl(fd, F_GETFL);
		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
			return -errno;
		ret_fds[i] = fd;
	}
	return n;
}

void notify_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(void)
{
	/* The time stamp is for Type=notify-reload; older managers ignore it. */
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, now_mono().ns / 1000);
}

void notify_stopping(void)
{
	/* A stop_timeout beyond the unit's TimeoutStopSec= would end in a SIGKILL. */
	sd_notifyf(0, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%" PRId64,
		   conf->stop_timeout_us + STOP_SPARE_US);
}

void notify_status(const char *status)
{
	sd_notifyf(0, "STATUS=%s", status);
}

static void feed_watchdog(struct loop_timer *timer)
{
	sd_notify(0, "WATCHDOG=1");
	loop_timer_set(timer, mono_in_us(watchdog_interval_us));
}

void notify_watchdog_start(void)
{
	uint64_t timeout_us;

	if (sd_watchdog_enabled(0, &timeout_us) <= 0)
		return;
	watchdog_interval_us = (int64_t)(timeout_us / 2);
	watchdog.fn = feed_watchdog;
	feed_watchdog(&watchdog);
}

#else

int notify_listen_fds(int *ret_fds, int max)
{
	(void)ret_fds;
	(void)max;
	return 0;
}

void notify_ready(const char *status)
{
	(void)status;
}

void notify_reloading(void)
{
}

void notify_stopping(void)
{
}

void notify_status(const char *status)
{
	(void)status;
}

void notify_watchdog_start(void)
{
}

#endif
