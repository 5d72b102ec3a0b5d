/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_OUTLOG_FORMAT_H
#define DAEMON_BASE_OUTLOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The file that holds what one attempt of a worker wrote.  The supervisor
 * writes it, the daemon reads it, also while it grows.  Numbers are
 * little-endian.
 *
 *     header (64 bytes)
 *     frame, frame, ...       the head
 *     hole                    what fell out (once more than the limit came)
 *     frame, frame, ...       the tail
 *
 * A frame is {u32 length, u8 stream, 3 x 0, u64 wall ms} and that many bytes.
 * Frames lie in the order in which the bytes were read from the worker.  A
 * frame of stream OUTLOG_LOST has a u64 instead: so many bytes are missing at
 * this place, the disk was full or the limit is small.
 *
 * The last frame may grow: its length is written first, the bytes after it.
 * A reader looks at the size of the file first, believes no byte beyond it,
 * takes what there is of a frame and comes back for the rest.
 *
 * Up to the limit everything is kept.  Beyond it the head (half of the limit)
 * ends at head_end, the frames go on at tail_start, and what is between is a
 * hole in the file: the logical size grows for ever, the space does not.  The
 * writer moves tail_start before it punches, so a reader that looks at the
 * header again after it has read a frame knows whether the bytes were real.
 * On a file system without holes the tail stands still and what comes later
 * is counted in end_lost.
 */
#define OUTLOG_MAGIC "awoutlog"
#define OUTLOG_VERSION 1
#define OUTLOG_HEADER_BYTES 64
#define OUTLOG_FRAME_HEADER_BYTES 16
#define OUTLOG_FRAME_MAX_BYTES (64 * 1024)

enum outlog_stream {
	OUTLOG_STDOUT = 1,
	OUTLOG_STDERR = 2,
	OUTLOG_LOST = 3,
};

struct outlog_header {
	uint32_t flags;
	uint64_t head_end;   /* 0 = nothing has fallen out */
	uint64_t tail_start; /* 0 as well */
	uint64_t gap_bytes;  /* what the worker wrote between the two */
	uint64_t end_lost;   /* bytes behind the last frame that were not kept */
};
enum {
	OUTLOG_CLOSED = 1 << 0, /* nothing more comes */
};

static inline void outlog_put(unsigned char *p, uint64_t value, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		p[i] = (unsigned char)(value >> (8 * i));
}

static inline uint64_t outlog_get(const unsigned char *p, unsigned n_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		value |= (uint64_t)p[i] << (8 * i);
	return value;
}

/* FNV-1a: tells a header that was read while it was being written. */
static inline uint64_t outlog_sum(const unsigned char *p, size_t n_bytes)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n_bytes; i++)
		sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static inline void outlog_header_put(unsigned char out[OUTLOG_HEADER_BYTES],
				     const struct outlog_header *h)
{
	static const unsigned char magic[8] = OUTLOG_MAGIC;

	for (unsigned i = 0; i < 8; i++)
		out[i] = magic[i];
	outlog_put(out + 8, OUTLOG_VERSION, 4);
	outlog_put(out + 12, h->flags, 4);
	outlog_put(out + 16, h->head_end, 8);
	outlog_put(out + 24, h->tail_start, 8);
	outlog_put(out + 32, h->gap_bytes, 8);
	outlog_put(out + 40, h->end_lost, 8);
	outlog_put(out + 48, 0, 8);
	outlog_put(out + 56, outlog_sum(out, 56), 8);
}

/* False: not such a file, another version, or caught while being written. */
static inline bool outlog_header_get(const unsigned char in[OUTLOG_HEADER_BYTES],
				     struct outlog_header *ret)
{
	static const unsigned char magic[8] = OUTLOG_MAGIC;

	for (unsigned i = 0; i < 8; i++)
		if (in[i] != magic[i])
			return false;
	if (outlog_get(in + 8, 4) != OUTLOG_VERSION || outlog_get(in + 56, 8) != outlog_sum(in, 56))
		return false;
	*ret = (struct outlog_header){
		.flags = (uint32_t)outlog_get(in + 12, 4),
		.head_end = outlog_get(in + 16, 8),
		.tail_start = outlog_get(in + 24, 8),
		.gap_bytes = outlog_get(in + 32, 8),
		.end_lost = outlog_get(in + 40, 8),
	};
	return true;
}

#endif
