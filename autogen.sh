#!/bin/sh
# SPDX-License-Identifier: MIT
# Make configure and Makefile.in from configure.ac and Makefile.am.
set -eu
cd "$(dirname "$0")"
for tool in autoreconf automake pkg-config; do
	if ! command -v "$tool" >/dev/null 2>&1; then
		echo "autogen.sh: $tool is missing; run: sh packaging/install-packages" >&2
		exit 1
	fi
done
mkdir -p packaging/m4 packaging/build-aux
exec autoreconf --install --force --warnings=all
