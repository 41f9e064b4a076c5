# Adds up what cargo's test runners say about themselves; prints
# "PASSED FAILED SKIPPED". Reads nextest's summary
#
#   Summary [   1.2s] 34 tests run: 33 passed (1 slow), 1 failed, 2 skipped
#
# and libtest's, one a binary:
#
#   test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; ...

{ gsub(/\033\[[0-9;]*m/, "") }

/^ *Summary +\[.*\] .*tests? run:/ {
  sub(/^.*tests? run: */, "")
  # "33 passed (32 slow, 1 flaky)": flaky and slow ones are among the passed.
  gsub(/\([^)]*\)/, "")
  parts = split($0, part, /, */)
  for (i = 1; i <= parts; i++) {
    split(part[i], word, " ")
    if (word[2] == "passed") passed += word[1]
    else if (word[2] == "skipped") skipped += word[1]
    # "failed", "timed out", "exec failed", whatever comes later
    else if (word[1] ~ /^[0-9]+$/) failed += word[1]
  }
}

/^test result: / {
  sub(/^test result: [A-Za-z]+\. */, "")
  parts = split($0, part, /; */)
  for (i = 1; i <= parts; i++) {
    split(part[i], word, " ")
    if (word[2] == "passed") passed += word[1]
    else if (word[2] == "failed") failed += word[1]
    else if (word[2] == "ignored") skipped += word[1]
  }
}

END { printf "%d %d %d\n", passed, failed, skipped }
