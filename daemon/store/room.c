/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/store/store_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <unistd.h>

#include "daemon/store/db.h"
#include "proto/units.h"
#include "proto/xalloc.h"

/*
 * The room that is left for the store (R1.6).
 *
 * A full disk cannot be cleaned through SQLite: deleting needs room as well.
 * So a file beside the database keeps some, and is removed when a commit finds
 * the disk full: then what concerns existing jobs can be stored all the same.
 * And new jobs are refused before it comes to that, while little room is left.
 * What is unused inside of the database counts as room, too: else removing
 * jobs would not help where the database itself fills its file system.
 */

#define RESERVE_FILE STORE_FILE ".reserve"
#define LOOK_US 100000 /* between two looks, while there is much more than needed: */
#define MUCH_MORE_BYTES (INT64_C(256) << 20)
#define WAL_MAX_BYTES (INT64_C(8) << 20)
/* As much of the WAL as is used between two checkpoints, and a batch beyond. */
#define WAL_LAID_OUT_BYTES (INT64_C(1200) * WAL_FRAME_BYTES + 32)
#define PROBE_FREE_BYTES (INT64_C(1) << 20)

static int64_t lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* false: the file system does not tell. */
static bool get_space(const struct store *s, int64_t *ret_total, int64_t *ret_free)
{
	struct statvfs fs;

	if (fstatvfs(s->lock_fd, &fs) < 0 || fs.f_blocks == 0)
		return false;
	*ret_total = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	*ret_free = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	return true;
}

/* ---- what others may see ---- */

/* Tell the loop when new jobs are refused from now on, or are not any more. */
static void show(struct store *s, int64_t free_bytes)
{
	struct store_stats *f = &s->figures;
	bool is_degraded = s->is_full || s->room.is_low, post = false;

	pthread_mutex_lock(&s->lock);
	f->is_full = s->is_full;
	if (free_bytes >= 0)
		f->free_bytes = free_bytes;
	f->reserve_bytes = s->room.has_reserve ? s->room.reserve_bytes : 0;
	if (f->is_degraded != is_degraded) {
		f->is_degraded = is_degraded;
		post = !s->is_room_posted;
		s->is_room_posted = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (post)
		loop_post(&s->room_task);
}

/* ---- the reserve ---- */

/* A sparse one would reserve nothing, nor does one that a crash left half-made. */
static bool is_whole(const struct store *s, const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == s->room.reserve_bytes && st.st_blocks * 512 >= st.st_size;
}

static int make_file(const char *path, int64_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = -posix_fallocate(fd, 0, bytes);
	close(fd);
	if (r < 0)
		unlink(path);
	return r;
}

static void make_reserve(struct store *s)
{
	cleanup_free char *path = xasprintf("%s/" RESERVE_FILE, s->dir);
	int r = 0;

	if (!is_whole(s, path)) {
		unlink(path);
		r = make_file(path, s->room.reserve_bytes);
	}
	if (r == 0) {
		s->room.has_reserve = true;
		return;
	}
	if (r == -ENOSPC || r == -EDQUOT)
		return;
	store_log(s, LOG_WARNING, "cannot reserve %" PRId64 " bytes in %s: %s; going on without",
		  s->room.reserve_bytes, s->dir, strerror(-r));
	s->room.reserve_bytes = 0;
}

bool room_give_reserve(struct store *s)
{
	cleanup_free char *path = xasprintf("%s/" RESERVE_FILE, s->dir);

	if (!s->room.has_reserve)
		return false;
	s->room.has_reserve = false;
	s->room.look_at.ns = 0;
	if (unlink(path) < 0 && errno != ENOENT) {
		store_log(s, LOG_ERR, "cannot remove %s: %s", path, strerror(errno));
		return false;
	}
	store_log(s, LOG_WARNING,
		  "the disk is full: the reserve of %" PRId64 " bytes in %s is given up, so that "
		  "what becomes of existing jobs can be stored",
		  s->room.reserve_bytes, s->dir);
	return true;
}

/* ---- how much there is ---- */

static void set_low(struct store *s, bool is_low, int64_t free_bytes)
{
	struct buf left = { 0 };

	if (s->room.is_low == is_low)
		return;
	s->room.is_low = is_low;
	size_format(free_bytes >> 10 << 10, &left);
	if (is_low)
		store_log(s, LOG_WARNING,
			  "only %s are left on the disk for %s: no new jobs are taken until there "
			  "is more",
			  buf_terminate(&left), s->path);
	else
		store_log(s, LOG_NOTICE, "%s are left on the disk for %s again: new jobs are taken",
			  buf_terminate(&left), s->path);
	buf_fini(&left);
}

/* Unused pages of the database; a statement, so only when it matters. */
static int64_t unused_bytes(const struct store *s)
{
	int64_t n = 0;

	return db_int(s->db, "PRAGMA freelist_count", &n) == SQLITE_OK ? n * DB_PAGE_BYTES : 0;
}

static void look(struct store *s)
{
	struct room *room = &s->room;
	int64_t total, on_disk, all, wanted = room->min_free_bytes;

	room->look_at = mono_in_us(LOOK_US);
	if (!get_space(s, &total, &on_disk))
		return;
	if (on_disk < wanted + MUCH_MORE_BYTES)
		room->look_at.ns = 0;
	if (!room->has_reserve)
		wanted += room->reserve_bytes;
	if (room->is_low)
		wanted += room->min_free_bytes / 8; /* lest it goes to and fro */
	all = on_disk;
	if (all < wanted)
		all += unused_bytes(s);
	if (!room->has_reserve && room->reserve_bytes > 0 && on_disk >= room->reserve_bytes &&
	    all >= wanted) {
		make_reserve(s);
		(void)get_space(s, &total, &on_disk);
	}
	set_low(s, all < wanted || (!room->has_reserve && room->reserve_bytes > 0), on_disk);
	show(s, on_disk);
}

bool room_is_low(struct store *s)
{
	if (s->room.min_free_bytes == 0 && s->room.reserve_bytes == 0)
		return false;
	if (now_mono().ns >= s->room.look_at.ns)
		look(s);
	return s->room.is_low;
}

bool room_is_tight(const struct store *s)
{
	int64_t total, on_disk;

	if (s->room.has_reserve || s->room.reserve_bytes == 0 || !get_space(s, &total, &on_disk))
		return false;
	return on_disk < s->room.wal_bytes && on_disk + unused_bytes(s) < s->room.wal_bytes;
}

bool room_may_probe(const struct store *s)
{
	int64_t total, on_disk;

	return !get_space(s, &total, &on_disk) ||
	       on_disk >= lesser(PROBE_FREE_BYTES, s->room.min_free_bytes);
}

void room_set_full(struct store *s, bool is_full)
{
	if (s->is_full == is_full)
		return;
	s->is_full = is_full;
	store_log(s, is_full ? LOG_WARNING : LOG_NOTICE,
		  is_full ? "the disk is full: %s takes no new jobs, and what becomes of others "
			    "waits until there is space"
			  : "changes of jobs can be stored in %s again",
		  s->path);
	/* Full no more is not enough yet: tell both at once. */
	if (is_full)
		show(s, -1);
	else
		look(s);
}

/* ---- at the start ---- */

void room_measure(struct store *s)
{
	int64_t total, on_disk, eighth = INT64_MAX;
	struct room *room = &s->room;

	if (get_space(s, &total, &on_disk))
		eighth = total / 8 / DB_PAGE_BYTES * DB_PAGE_BYTES;
	room->reserve_bytes = lesser(s->options.reserve_bytes, eighth);
	room->min_free_bytes = lesser(s->options.min_free_bytes, eighth);
	/* What the log holds must fit into the database by what the reserve gives. */
	room->wal_max_bytes = lesser(WAL_MAX_BYTES, eighth / 2);
	if (room->reserve_bytes > 0)
		room->wal_max_bytes = lesser(room->wal_max_bytes, room->reserve_bytes / 2);
	room->wal_bytes = lesser(WAL_LAID_OUT_BYTES, room->wal_max_bytes);
}

int room_open(struct store *s)
{
	cleanup_free char *path = xasprintf("%s/" RESERVE_FILE, s->dir);
	struct room *room = &s->room;
	int64_t total, on_disk = INT64_MAX;
	int rc;

	if (room->reserve_bytes > 0)
		room->has_reserve = is_whole(s, path);
	else
		unlink(path); /* as the setting says */
	(void)get_space(s, &total, &on_disk);
	if (!room->has_reserve)
		on_disk -= room->reserve_bytes;
	if (on_disk >= room->min_free_bytes + room->wal_bytes) {
		rc = db_lay_out_wal(s->db, room->wal_bytes);
		if (rc != SQLITE_OK && !db_is_full(rc))
			return rc;
	}
	look(s);
	return SQLITE_OK;
}
