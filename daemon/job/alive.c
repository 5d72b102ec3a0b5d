/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/alive.h"

#include "daemon/co/await.h"
#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/engine_int.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_US 1000000

static struct {
	int fd; /* -1 = there is no file */
	struct wall last;
	struct mono until; /* no mark is needed after the first one from then on */
	struct loop_timer timer;
	struct offload offload;
	struct wall mark; /* what the offload writes */
	bool is_marking;
} alive = { .fd = -1 };

static void write_mark(struct offload *o)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = alive.mark.ms / 1000, .tv_nsec = alive.mark.ms % 1000 * 1000000 },
	};

	(void)o;
	(void)futimens(alive.fd, times);
}

static void on_marked(struct offload *o)
{
	(void)o;
	alive.is_marking = false;
}

static void on_timer(struct loop_timer *timer)
{
	if (now_mono().ns < alive.until.ns)
		loop_timer_set(timer, mono_in_us(MARK_US));
	if (alive.is_marking) /* the disk is slow; the next one will do */
		return;
	alive.is_marking = true;
	alive.mark = now_wall();
	alive.offload = (struct offload){ .work = write_mark, .done = on_marked };
	offload_submit(&alive.offload);
}

void alive_init(const char *state_dir)
{
	cleanup_free char *path = xasprintf("%s/alive", state_dir);
	struct stat st;

	alive.last = now_wall();
	alive.timer.fn = on_timer;
	alive.fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (alive.fd >= 0 && fstat(alive.fd, &st) == 0)
		alive.last.ms = st.st_mtim.tv_sec * INT64_C(1000) + st.st_mtim.tv_nsec / 1000000;
	else
		alive.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (alive.fd < 0)
		log_warning("cannot use %s: %s; a job that crashes awaitd may be started more than "
			    "three times",
			    path, strerror(errno));
}

void alive_fini(void)
{
	loop_timer_cancel(&alive.timer);
	if (alive.fd >= 0)
		close(alive.fd);
	alive.fd = -1;
}

struct wall alive_last(void)
{
	return alive.last;
}

void alive_watch(void)
{
	if (alive.fd < 0)
		return;
	alive.until = mono_in_us(conf->crash_loop_us);
	if (!loop_timer_is_set(&alive.timer))
		loop_timer_set(&alive.timer, mono_in_us(MARK_US));
}
