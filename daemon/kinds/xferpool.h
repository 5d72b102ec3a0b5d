/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_XFERPOOL_H
#define DAEMON_KINDS_XFERPOOL_H

#include "daemon/base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The one multi handle, driven by the loop.  Everything here is for the
 * loop's stack and never yields.
 */
struct xferpool_item {
	void *easy;	  /* owns; a CURL handle, set by the caller, freed by xferpool_remove() */
	struct list link; /* private: waits for a turn, to start or to go on */
	bool is_added;	  /* private */
	/* It is over, with a CURLcode.  Only marks and wakes; may come twice. */
	void (*done)(struct xferpool_item *item, int code);
};

int xferpool_init(void); /* libcurl's global start: 0 or -ENOMEM */
void xferpool_fini(void);

/* Start it soon: a burst of starts is spread over turns of the loop. */
void xferpool_add(struct xferpool_item *item);
void xferpool_remove(struct xferpool_item *item);

/*
 * May @item take @len bytes now?  libcurl reads as long as a peer delivers,
 * tens of milliseconds in one call; the loop has other things to do.  When
 * this says no, the write callback answers CURL_WRITEFUNC_PAUSE and gets the
 * same bytes in a later turn.
 */
bool xferpool_take(struct xferpool_item *item, size_t len);

/* Hand over in a later turn what the write callback did not take for another reason. */
void xferpool_wake(struct xferpool_item *item);

uint64_t xferpool_received_bytes(void);

#endif
