/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_DEST_H
#define DAEMON_KINDS_DEST_H

#include "proto/err.h"
#include "proto/xalloc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Where a download's bytes go (R4.13).  A file below one of the configured
 * output roots grows as ".NAME.JOB.part" beside its final place, which it
 * takes only when it is complete and on disk; a body without an output path
 * lies in the job's own folder and grows in place, so that it can be read
 * while it comes.
 *
 * Everything here blocks (co_offload), but for dest_check(), which is pure,
 * and dest_write(), which goes to the page cache.  None yields.
 */
struct dest {
	int dir_fd, fd; /* own; -1 = none */
	char *dir;	/* owns; for messages */
	char *name;	/* owns; the final name in dir */
	char *part;	/* owns; the name while it grows, NULL when that is name itself */
	char *handle;	/* owns; what dest_remove_leftover() takes; NULL when there is no part */
	char *file;	/* owns; which file it is that grows: another one has another text */
	int64_t there_bytes; /* what an earlier attempt left and was opened */
	unsigned flags;	     /* enum dest_flag */
};

enum dest_flag {
	DEST_OVERWRITE = 1 << 0, /* the final name may be taken */
	DEST_PRIVATE = 1 << 1,	 /* final mode 0600, else 0644 */
	DEST_RESUME = 1 << 2,	 /* what an earlier attempt left is opened, not removed */
	DEST_AGAIN = 1 << 3,	 /* an attempt that is cut off is made again */
};

/*
 * The canonical absolute path for a job's @output: a relative one is below
 * the first of @roots (absolute, NULL-terminated).  Gives @ret_path, or
 * -EINVAL with AW_PARAMS at /output when it is no file below a root.
 */
MUST_USE int dest_check(const char *output, char *const *roots, char **ret_path,
			struct aw_err *err);

/* An empty one: every failure path may call dest_discard(). */
void dest_init(struct dest *d);

/*
 * Open @path (as dest_check() made it) for @job: the folder must be there, be
 * reached without symlinks from its root and be writable; the file must not
 * be there unless @flags (enum dest_flag) have DEST_OVERWRITE.  What an earlier
 * attempt of @job left is removed, or opened with DEST_RESUME.  0, or -EINVAL with
 * AW_IO or AW_STORAGE_FULL in @err.
 */
MUST_USE int dest_open(struct dest *d, const char *path, char *const *roots, int64_t job,
		       unsigned flags, struct aw_err *err);

/*
 * Open @path in a folder of the daemon's own; what is there is replaced, unless
 * @flags have DEST_RESUME.  Errors as above.
 */
MUST_USE int dest_open_body(struct dest *d, const char *path, unsigned flags, struct aw_err *err);

/* The file gets this name in its folder, also in place of another one: a body has no other. */
MUST_USE int dest_move(struct dest *d, const char *name, struct aw_err *err);

/* Let the first @size_bytes be all there is; what is written comes behind them. */
MUST_USE int dest_cut(struct dest *d, int64_t size_bytes, struct aw_err *err);

/* Read exactly @len bytes that are there. */
MUST_USE int dest_read(struct dest *d, int64_t at, void *data, size_t len, struct aw_err *err);

/* Append.  0, or -EINVAL with AW_IO or AW_STORAGE_FULL. */
MUST_USE int dest_write(struct dest *d, const void *data, size_t len, struct aw_err *err);

/* Bring the bytes written so far to disk, while more are written. */
MUST_USE int dest_sync_part(struct dest *d, struct aw_err *err);

/* Bring the whole to disk. */
MUST_USE int dest_sync(struct dest *d, struct aw_err *err);

/*
 * After dest_sync(): give the file its name, durably, and close.  On failure
 * the caller discards; only when the folder cannot be brought to disk does
 * the file have its name nevertheless.
 */
MUST_USE int dest_publish(struct dest *d, struct aw_err *err);

/* Close, and leave for the next attempt what is there. */
void dest_keep(struct dest *d);

/* Close; what is not published is removed.  Harmless on an empty one and when called twice. */
void dest_discard(struct dest *d);

/*
 * The attempt that @handle is of was cut off, and may have been after
 * dest_publish(), before anybody was told: what has the final name is the part
 * again, if it is that very file.  With DEST_AGAIN and without DEST_OVERWRITE only: else
 * the name is in nobody's way.
 */
void dest_take_back(const char *handle);

/* The same, and then remove the part file that @handle names, unless somebody writes it. */
void dest_remove_leftover(const char *handle);

#endif
