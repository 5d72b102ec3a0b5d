/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/jsonmem.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/xalloc.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || \
	defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define IS_WATCHED 1
#else
#define IS_WATCHED 0
#endif

#define STEP_BYTES 16
#define N_SIZES 33 /* in steps, the head included: up to 512 bytes */
#define PIECE_MAX_BYTES ((size_t)(N_SIZES - 1) * STEP_BYTES)
#define KEPT_MAX_BYTES ((size_t)512 * 1024)

/* Before each piece. Its size keeps what follows aligned for what jansson has: 8 bytes. */
struct head {
	uint64_t n_steps; /* 0 = it is too large to be kept */
};

struct piece {
	struct head head;
	struct piece *next; /* while it is kept; else the memory begins here */
};

/* Of each thread its own: a piece may be let go of by another one than took it. */
static __thread struct {
	struct piece *first[N_SIZES];
	size_t n_bytes;
} kept;

/*
 * Without memory this is the end of the program, as of a small allocation anywhere else:
 * jansson 2.14 does not look whether the buffer of a string's text could grow (lex_save() in
 * load.c), and then writes beyond it.  What it asks for is bounded by the length of a line.
 */
static void *take(size_t n_bytes)
{
	size_t n_steps = 0;
	struct piece *p;

	if (n_bytes > SIZE_MAX / 4)
		return NULL;
	n_bytes += sizeof(struct head);
	if (n_bytes <= PIECE_MAX_BYTES)
		n_steps = (n_bytes + STEP_BYTES - 1) / STEP_BYTES;
	p = kept.first[n_steps];
	if (p) {
		kept.first[n_steps] = p->next;
		kept.n_bytes -= n_steps * STEP_BYTES;
		return &p->next;
	}
	p = xmalloc(n_steps ? n_steps * STEP_BYTES : n_bytes);
	p->head.n_steps = n_steps;
	return &p->next;
}

static void let_go(void *memory)
{
	struct piece *p;

	if (!memory)
		return;
	p = (struct piece *)((char *)memory - offsetof(struct piece, next));
	if (p->head.n_steps == 0 || kept.n_bytes >= KEPT_MAX_BYTES) {
		free(p);
		return;
	}
	p->next = kept.first[p->head.n_steps];
	kept.first[p->head.n_steps] = p;
	kept.n_bytes += p->head.n_steps * STEP_BYTES;
}

void jsonmem_init(void)
{
	if (!IS_WATCHED)
		json_set_alloc_funcs(take, let_go);
}
