/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_RPC_BASE64_H
#define DAEMON_RPC_BASE64_H

#include "proto/buf.h"

#include <stddef.h>

/* @data in base64 (RFC 4648, section 4, padded), appended to @b without quotes. */
void base64_add(struct buf *b, const void *data, size_t len);

#endif
