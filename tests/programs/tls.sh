# openssl s_server and s_client: a TLS 1.3 session over the loopback, a file each way.
# (A session ticket may come before the client ends or not: with it, the code is printed twice, once indented.)
set -eu
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost 2>/dev/null
head -c 200000 /dev/zero | tr '\0' 'a' > file
openssl s_server -accept 127.0.0.1:7431 -key key.pem -cert cert.pem -WWW -quiet >server.log 2>&1 &
pid=$!
for i in $(seq 1 100); do
    printf 'GET /file HTTP/1.0\r\n\r\n' | timeout 10 openssl s_client -connect 127.0.0.1:7431 -CAfile cert.pem -verify_return_error -quiet -ign_eof > got 2>client.log && break
    sleep 0.05
done
tail -c 200000 got | cmp - file && echo same
printf 'Q\n' | timeout 10 openssl s_client -connect 127.0.0.1:7431 -CAfile cert.pem -tls1_3 2>/dev/null | grep -E '^New|Verify return code' | sed 's,^ *,,' | sort -u
kill $pid
wait $pid 2>/dev/null || true
echo ended
