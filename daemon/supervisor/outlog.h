/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_OUTLOG_H
#define DAEMON_SUPERVISOR_OUTLOG_H

#include "daemon/base/now.h"
#include "daemon/base/outlog_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The writer of a framed output log (daemon/base/outlog_format.h).  A full
 * disk, or any other error while writing, never stops the worker: the bytes
 * count as dropped.
 */
struct outlog {
	const char *path; /* borrows */
	int fd;		  /* owns; -1 = closed, or nothing to keep has come yet */
	struct outlog_header header;
	int64_t limit_bytes;
	uint32_t frame_max; /* small limits have small frames, so that a tail is more than one */
	uint64_t end;	    /* where the next frame goes */
	/* the last frame, which may grow; at 0 = there is none */
	uint64_t last_at;
	uint32_t last_len;
	enum outlog_stream last_stream;
	struct wall last_time;
	/* what is kept costs: a frame counts as 16 bytes at least, its header's */
	int64_t head_cost, tail_cost;
	uint64_t head_full_at; /* where the head's half ended; 0 = not yet */
	uint64_t punched_to;
	bool has_no_holes;
	bool is_stale; /* the header in the file is older than ours */
	int64_t total_bytes, dropped_bytes;
};

/*
 * @path is made (0600), and the three folders above it where they are not
 * there, with the first byte: most commands say nothing, and a folder and a
 * file cost more than the rest of a start.  A file that is there already goes.
 */
void outlog_init(struct outlog *log, const char *path, int64_t limit_bytes);
/* The worker wrote @data at @now. */
void outlog_add(struct outlog *log, enum outlog_stream stream, const void *data, size_t len,
		struct wall now);
/* Mark it complete and close it. */
void outlog_close(struct outlog *log);

#endif
