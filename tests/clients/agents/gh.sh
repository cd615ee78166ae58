#!/bin/sh
# What an agent does with GitHub, by gh. It speaks to other ports through `gh api` alone.
set -e
export GH_PROMPT_DISABLED=1 GH_NO_UPDATE_NOTIFIER=1
echo "login: $(gh api "$API/user" --jq .login)"
gh api "$API/repos/octo/tower/issues" --jq '.[] | "issue: \(.number) \(.title)"'
refused=$(gh api --include --method POST "$API/repos/octo/tower/issues" -f title=Another 2>&1) && exit 1
code=$(echo "$refused" | sed -n 's|^HTTP/[0-9.]* \([0-9]*\).*|\1|p')
echo "denied: $code $(echo "$refused" | sed -n 's/^[Xx]-[Nn]exus-[Ee]rror: *//p' | tr -d '\r')"
