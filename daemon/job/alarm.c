/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/alarm.h"

#include "daemon/co/loop.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * However sure the kernel is to tell us of a clock that was set, look again after this long
 * (R5.1).
 */
#define WALL_RECHECK_MS 60000

static struct loop_fd boot_fd = { .fd = -1 }, wall_fd = { .fd = -1 };
static int64_t boot_armed_ns, wall_armed_ms; /* INT64_MAX = not armed */
static void (*on_alarm)(void);

static void on_boot(struct loop_fd *lfd, unsigned ready)
{
	uint64_t n;

	(void)ready;
	if (read(lfd->fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	boot_armed_ns = INT64_MAX;
	on_alarm();
}

static void on_wall(struct loop_fd *lfd, unsigned ready)
{
	uint64_t n;

	(void)ready;
	/* ECANCELED: the clock was set; all instants have moved, so look anew. */
	if (read(lfd->fd, &n, sizeof(n)) < 0 && errno == EAGAIN)
		return;
	wall_armed_ms = INT64_MAX;
	on_alarm();
}

static int open_one(struct loop_fd *lfd, int clock, void (*fn)(struct loop_fd *, unsigned))
{
	int fd = timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = loop_fd_open(lfd, fd, LOOP_READ, fn);
	if (r < 0) {
		close(fd);
		lfd->fd = -1;
	}
	return r;
}

int alarm_open(void (*fn)(void))
{
	int r;

	on_alarm = fn;
	boot_armed_ns = wall_armed_ms = INT64_MAX;
	r = open_one(&boot_fd, CLOCK_BOOTTIME, on_boot);
	if (r < 0)
		return r;
	r = open_one(&wall_fd, CLOCK_REALTIME, on_wall);
	if (r < 0)
		alarm_close();
	return r;
}

static void close_one(struct loop_fd *lfd)
{
	int fd = lfd->fd;

	if (fd < 0)
		return;
	loop_fd_close(lfd);
	close(fd);
	lfd->fd = -1;
}

void alarm_close(void)
{
	close_one(&boot_fd);
	close_one(&wall_fd);
}

static void arm(int fd, int flags, int64_t ns)
{
	struct itimerspec its = { 0 };

	if (ns != INT64_MAX) {
		its.it_value.tv_sec = ns / 1000000000;
		its.it_value.tv_nsec = ns % 1000000000;
		if (ns <= 0) /* zero would disarm it */
			its.it_value = (struct timespec){ .tv_nsec = 1 };
	}
	(void)timerfd_settime(fd, TFD_TIMER_ABSTIME | flags, &its, NULL);
}

void alarm_set(struct boot boot, struct wall wall)
{
	if (boot.ns != boot_armed_ns) {
		boot_armed_ns = boot.ns;
		arm(boot_fd.fd, 0, boot.ns);
	}
	if (wall.ms != INT64_MAX) {
		int64_t latest_ms = now_wall().ms + WALL_RECHECK_MS;

		/* Armed for an earlier look already: that one will set the next. */
		if (wall.ms > latest_ms)
			wall.ms = wall_armed_ms < latest_ms ? wall_armed_ms : latest_ms;
	}
	if (wall.ms != wall_armed_ms) {
		wall_armed_ms = wall.ms;
		arm(wall_fd.fd, TFD_TIMER_CANCEL_ON_SET,
		    wall.ms == INT64_MAX ? INT64_MAX : wall.ms * 1000000);
	}
}
