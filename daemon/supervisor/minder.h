/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_MINDER_H
#define DAEMON_SUPERVISOR_MINDER_H

#include "daemon/supervisor/msg.h"

/*
 * The process that minds one attempt: it starts the worker, keeps its output,
 * ends its tree and reaps it.
 *
 * One process per worker, forked off the supervisor, because of the one
 * question that matters: which processes belong to this attempt?  Being a
 * subreaper, everything its worker leaves behind becomes its child, whatever
 * sessions and environments it made for itself, and "nothing is left" is what
 * wait() says, not what a scan of /proc has seen.  It costs 0.1 ms per start
 * (measured).  And should the supervisor be killed, each minder sees its
 * socket close and ends its tree by itself.
 *
 * Runs until the attempt is over.  @fd is a SOCK_SEQPACKET socket: kill and
 * ack come in, one message per packet, started, failed, grew, stuck and
 * exited go out.  When it closes, the tree is killed at once.
 */
void minder_run(int fd, const struct msg *start) __attribute__((noreturn));

#endif
