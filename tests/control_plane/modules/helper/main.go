// Helper of the control-plane tests: makes the certificates, and keeps a server alive no longer than the test that
// started it. In Go because the servers need Go anyway, and so that neither openssl nor a shell has to be there.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const usage = `usage:
  helper certs DIR                       ca, server, admin and service-account keys
  helper client DIR NAME CN [GROUP...]   DIR/NAME.{crt,key} signed by DIR's ca
  helper expired DIR NAME CN             the same, out of date since a minute
  helper supervise LOG COMMAND [ARG...]  run COMMAND until standard input ends`

func init() {
	// The kernel's "die with your parent" looks at the thread that started the child, not at the process:
	// the child must come from a thread that lives as long as this program does.
	runtime.LockOSThread()
}

func main() {
	args := os.Args[1:]
	var err error
	switch {
	case len(args) == 2 && args[0] == "certs":
		err = certs(args[1])
	case len(args) >= 4 && args[0] == "client":
		err = client(args[1], args[2], template(args[3]), args[4:])
	case len(args) == 4 && args[0] == "expired":
		cert := template(args[3])
		cert.NotAfter = time.Now().Add(-time.Minute)
		err = client(args[1], args[2], cert, nil)
	case len(args) >= 3 && args[0] == "supervise":
		var code int
		if code, err = supervise(args[1], args[2:]); err == nil {
			os.Exit(code)
		}
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		os.Exit(1)
	}
}

// supervise runs a command and kills it when standard input ends. The other end of that pipe belongs to the test:
// the kernel closes it however the test ends, by return, panic, abort or kill -9.
func supervise(logFile string, command []string) (int, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = dieWithParent()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	go func() {
		select {
		case <-stop:
		case <-signals:
		}
		// Nothing of it is kept, so there is nothing to shut down in order.
		_ = cmd.Process.Kill()
	}()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), nil
}

func certs(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	ca := template("control-plane-test")
	ca.IsCA = true
	ca.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	if err := write(dir, "ca", ca, ca, key, key); err != nil {
		return err
	}
	server := template("control-plane")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default.svc"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	serverKey, err := newKey()
	if err != nil {
		return err
	}
	if err := write(dir, "server", server, ca, serverKey, key); err != nil {
		return err
	}
	if err := client(dir, "admin", template("admin"), []string{"system:masters"}); err != nil {
		return err
	}
	account, err := newKey()
	if err != nil {
		return err
	}
	return writeKey(dir, "service-account", account)
}

func client(dir, name string, cert *x509.Certificate, groups []string) error {
	caCert, err := readPEM(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	ca, err := x509.ParseCertificate(caCert)
	if err != nil {
		return err
	}
	caDER, err := readPEM(filepath.Join(dir, "ca.key"))
	if err != nil {
		return err
	}
	caKey, err := x509.ParseECPrivateKey(caDER)
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	cert.Subject.Organization = groups
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return write(dir, name, cert, ca, key, caKey)
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func template(cn string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: cn},
		// Machines' clocks differ by a little, and a test run lives for a day at most.
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(7 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
}

func write(dir, name string, cert, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	if err := writePEM(dir, name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(dir, name, key)
}

func writeKey(dir, name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(dir, name+".key", "EC PRIVATE KEY", der)
}

func writePEM(dir, file, kind string, der []byte) error {
	return os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func readPEM(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", file)
	}
	return block.Bytes, nil
}
