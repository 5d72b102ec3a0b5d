/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_PROGRESS_H
#define CLIENT_PROGRESS_H

#include "proto/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* One line on the terminal behind standard error that is drawn again and again. */
struct progress {
	bool is_drawn;
};

/* Draw how far @job is. */
void progress_draw(struct progress *p, const json_t *job);
/* Take the line away. */
void progress_clear(struct progress *p);
/* The line, no longer than @width. */
void progress_line(struct buf *b, const json_t *job, size_t width);

#endif
