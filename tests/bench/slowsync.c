/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/*
 * Preloaded (LD_PRELOAD): each sync of a file takes AWAITD_BENCH_SYNC_US longer,
 * as on a slower disk.
 */

static int slow_sync(const char *name, int fd)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	const char *text = getenv("AWAITD_BENCH_SYNC_US");
	long us = text ? strtol(text, NULL, 10) : 0;
	struct timespec pause = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	if (us > 0)
		(void)nanosleep(&pause, NULL);
	return real(fd);
}

int fsync(int fd)
{
	return slow_sync("fsync", fd);
}

int fdatasync(int fd)
{
	return slow_sync("fdatasync", fd);
}
