#!/bin/sh
# Clones, commits a small and a large file (past http.postBuffer, so that the pack goes in
# chunks), pushes, and clones again to see both.
set -e
cd "$WORK"
git clone -q "$REPO" first
cd first
cat README
echo "by the agent" > small
cp "$LARGE" large
git add small large
git commit -q -m "two files"
git push -q origin HEAD
cd ..
git clone -q "$REPO" second
cmp "$LARGE" second/large
cmp first/small second/small
echo "round trip ok"
# What git wrote down: neither the remote nor the configuration may hold a credential.
cat first/.git/config second/.git/config
