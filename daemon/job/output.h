/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_OUTPUT_H
#define DAEMON_JOB_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reading an attempt's output: a worker's framed log, or a fetch's raw body.
 * Everything here blocks (helper threads: co_offload) and allocates plainly.
 *
 * An offset counts the bytes the attempt wrote, both streams together and
 * dropped ones included, whichever streams are asked for.
 */
enum {
	OUTPUT_STDOUT = 1 << 0,
	OUTPUT_STDERR = 1 << 1,
	OUTPUT_BOTH = OUTPUT_STDOUT | OUTPUT_STDERR,
};

/* One run of bytes of one stream. */
struct output_piece {
	unsigned stream; /* OUTPUT_STDOUT or OUTPUT_STDERR */
	size_t at, len;	 /* in output_read's data */
};

struct output_read {
	/* in */
	int64_t id;
	uint32_t attempt;
	unsigned streams;
	int64_t offset;
	size_t limit_bytes; /* of data in one answer */
	/*
	 * private: where the last read ended in the file; zeroed at first, kept between reads
	 * that follow on
	 */
	int64_t file_at, file_offset;
	/* out; output_read_fini() */
	char *data; /* owns */
	size_t len;
	struct output_piece *pieces; /* owns; in the order in which they were written */
	size_t n_pieces;
	int64_t next_offset;
	/* bytes that fell out, in front of data: a read ends before the next gap */
	int64_t dropped;
	bool is_at_end; /* nothing more is in the file now */
};
/* 0 (no output at all is an empty answer), or negative errno. */
int output_read(struct output_read *r);
/* Free what came out; the private position stays. */
void output_read_fini(struct output_read *r);

#endif
