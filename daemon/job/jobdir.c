/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/jobdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/folders.h"
#include "proto/xalloc.h"

#define JOBS_PER_FOLDER 1000

/* Set once at start-up, read by helper threads. */
static char *output_dir;

void jobdir_init(const char *state_dir)
{
	free(output_dir);
	output_dir = xasprintf("%s/output", state_dir);
}

void jobdir_fini(void)
{
	free(output_dir);
	output_dir = NULL;
}

static char *folder_of_thousand(int64_t id)
{
	return xasprintf("%s/%" PRId64, output_dir, id / JOBS_PER_FOLDER);
}

static char *folder_of(int64_t id)
{
	return xasprintf("%s/%" PRId64 "/%" PRId64, output_dir, id / JOBS_PER_FOLDER, id);
}

char *jobdir_path(int64_t id, uint32_t attempt, const char *suffix)
{
	return xasprintf("%s/%" PRId64 "/%" PRId64 "/%" PRIu32 ".%s", output_dir,
			 id / JOBS_PER_FOLDER, id, attempt, suffix);
}

int jobdir_make(int64_t id)
{
	cleanup_free char *folder = folder_of(id);

	return folders_make(folder, 3); /* output/THOUSAND/JOB */
}

int64_t jobdir_bytes(int64_t id)
{
	cleanup_free char *folder = folder_of(id);
	DIR *dir = opendir(folder);
	const struct dirent *e;
	int64_t n_bytes = 0;
	struct stat st;

	if (!dir)
		return 0; /* most jobs have none */
	while ((e = readdir(dir)))
		if (e->d_type != DT_DIR && fstatat(dirfd(dir), e->d_name, &st, 0) == 0)
			n_bytes += st.st_size;
	closedir(dir);
	return n_bytes;
}

/* The attempt whose file @name is, if it has this suffix; 0 = none. */
static uint32_t attempt_of(const char *name, const char *suffix)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);

	return *end == '.' && strcmp(end + 1, suffix) == 0 && n < UINT32_MAX ? (uint32_t)n : 0;
}

static void remove_file(int64_t id, uint32_t attempt, const char *suffix)
{
	cleanup_free char *path = jobdir_path(id, attempt, suffix);

	(void)unlink(path);
}

uint32_t jobdir_latest(int64_t id, uint32_t before, const char *suffix)
{
	cleanup_free char *folder = folder_of(id);
	DIR *dir = opendir(folder);
	const struct dirent *e;
	uint32_t latest = 0;

	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		uint32_t n = attempt_of(e->d_name, suffix), earlier = n;

		if (n == 0 || n >= before)
			continue;
		if (n > latest) {
			earlier = latest;
			latest = n;
		}
		if (earlier)
			remove_file(id, earlier, suffix);
	}
	closedir(dir);
	return latest;
}

void jobdir_drop(int64_t id, uint32_t before, const char *suffix)
{
	uint32_t latest = jobdir_latest(id, before, suffix);

	if (latest)
		remove_file(id, latest, suffix);
}

static int empty_folder(DIR *dir)
{
	const struct dirent *e;
	int r = 0;

	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r;
}

int jobdir_remove(int64_t id)
{
	cleanup_free char *thousand = folder_of_thousand(id), *folder = folder_of(id);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	r = empty_folder(dir);
	closedir(dir);
	if (r == 0 && rmdir(folder) < 0 && errno != ENOENT)
		r = -errno;
	/* The last one puts the light out; most of the time it is not empty, which is fine. */
	if (r == 0)
		(void)!rmdir(thousand);
	return r;
}
