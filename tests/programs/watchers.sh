# inotifywait, recursive, tells of what others do; vim edits by script.
set -eu
command -v inotifywait > /dev/null || { echo "needs inotify-tools"; exit 77; }
mkdir -p w/a/b
inotifywait -m -r -e create,modify,moved_from,moved_to,delete,attrib,close_write --format '%w%f %e' -o out w 2> err & pid=$!
until grep -q established err; do sleep 0.1; done
echo one > w/a/f; echo two >> w/a/f; chmod 600 w/a/f; mv w/a/f w/a/b/g; ln w/a/b/g w/hard; rm w/a/b/g; mkdir w/new
cp w/hard text
vi -es -u NONE -c '%s/one/1/' -c 'normal Gothree' -c wq text < /dev/null || echo "vi: $?"
cat text
touch w/last
until grep -q 'w/last CLOSE_WRITE' out; do sleep 0.1; done
kill $pid; wait $pid 2> /dev/null || true
cat out
