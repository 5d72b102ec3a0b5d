/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_STDFDS_H
#define DAEMON_BASE_STDFDS_H

/*
 * Put /dev/null where one of the standard descriptors is closed: a socket or
 * file of ours would otherwise become 0, 1 or 2, and the log be written into
 * it, or a worker's be put over it.  Call it before anything is opened.  0 or
 * -errno.
 */
int stdfds_fill(void);

#endif
