/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_SERVER_H
#define DAEMON_RPC_SERVER_H

#include "daemon/base/now.h"
#include "proto/err.h"

#include <stdint.h>

/*
 * The listening sockets: systemd's, or one of our own at conf->socket_path
 * (R4.1), and who may connect (R4.2, R4.5).
 *
 * Called when the store is open: whoever holds the state directory's lock may
 * take a dead daemon's socket away.  0, or -EINVAL with @err.
 */
int server_open(struct aw_err *err);
/*
 * The same, and close all connections; what they can still take of their
 * answers is written.  Runs the loop until the calls that were under way have
 * ended, so the store has to be open yet.
 */
void server_close(void);

/*
 * Instead of server_open(), when the daemon cannot start and another start
 * would not help: tell @message to those who wait at systemd's sockets.  As
 * long as one of them waits systemd starts us anew, and soon gives up the
 * socket for everybody.
 */
void server_turn_away(const char *message);

/* When server_open() was called. */
struct wall server_started_at(void);

struct server_stats {
	uint64_t n_refused; /* too many connections, or not allowed */
};
void server_stats(struct server_stats *ret);

#endif
