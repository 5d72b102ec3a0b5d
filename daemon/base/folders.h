/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_FOLDERS_H
#define DAEMON_BASE_FOLDERS_H

/*
 * Make folder @path (0700), and where they are not there up to @n_max - 1
 * above it.  Others may remove those that are empty at the same time.  Blocks.
 * 0, also when it is there, or -errno.
 */
int folders_make(const char *path, int n_max);

#endif
