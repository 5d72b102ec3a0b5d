/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_MINDER_H
#define DAEMON_SUPERVISOR_MINDER_H

#include "daemon/supervisor/msg.h"

/* A start that is longer than this needs a minder of its own, which inherits it. */
#define MINDER_START_BYTES (16 * 1024)

/*
 * The process that minds one attempt: it starts the worker, keeps its output,
 * ends its tree and reaps it.
 *
 * One process per worker, forked off the supervisor, because of the one
 * question that matters: which processes belong to this attempt?  Being a
 * subreaper, everything its worker leaves behind becomes its child, whatever
 * sessions and environments it made for itself, and "nothing is left" is what
 * wait() says, not what a scan of /proc has seen.  And should the supervisor
 * be killed, each minder sees its socket close and ends its tree by itself.
 *
 * To make such a process costs as much as to start a program.  So one whose
 * attempt has ended by itself and left nothing behind, no process and no open
 * pipe, is free for the next one: it says so with the exit, and waits.  After
 * anything else it ends.
 *
 * @fd is a SOCK_SEQPACKET socket: kill, ack and further starts come in, one
 * message per packet, started, failed, grew, stuck and exited go out.  When it
 * closes, the tree is killed at once.
 */
void minder_run(int fd, const struct msg *first) __attribute__((noreturn));

#endif
