/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/base/folders.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/xalloc.h"

static int make_one(const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int folders_make(const char *path, int n_max)
{
	const char *slash = strrchr(path, '/');
	int r = make_one(path);

	/* The folder above may be taken away in between, so try again. */
	for (int tries = 0; r == -ENOENT && tries < 5 && n_max > 1 && slash; tries++) {
		cleanup_free char *above = xstrndup(path, (size_t)(slash - path));

		r = folders_make(above, n_max - 1);
		if (r == 0)
			r = make_one(path);
	}
	return r;
}
