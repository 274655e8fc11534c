// Command crio-double stands in for CRI-O where none can be had. It is a double and
// says so: it runs no pods. What it shares with CRI-O is the library that pulls
// (go.podman.io/image) and the life cycle around it:
//
//   - registries.conf and its drop-ins are read at start, where an invalid one is
//     fatal, and on SIGHUP, where an invalid one is logged and the old one kept;
//   - before them a SIGHUP reads crio.conf again, of which it takes the log's level and
//     filter and the pause image, and where an invalid one ends it;
//   - policy.json, certs.d and the like are read at every pull;
//   - its socket accepts before it serves, and GET /info and GET /config answer once
//     it does.
//
// POST /pull?image=NAME pulls and says what came of it. The file
// /run/crio-double/behaviour, read at start, makes it misbehave on request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
)

func main() {
	var f flags
	flag.StringVar(&f.listen, "listen", "/var/run/crio/crio.sock", "the socket")
	flag.StringVar(&f.policy, "signature-policy", "", "policy.json, in place of what crio.conf says")
	flag.StringVar(&f.logLevel, "log-level", "", "the log's level, in place of what crio.conf says")
	flag.StringVar(&f.logFilter, "log-filter", "", "the log's filter, in place of what crio.conf says")
	flag.StringVar(&f.log, "log", "", "log to this file")
	post := flag.String("post", "", "post to this URL on the socket, and print the answer")
	version := flag.Bool("version", false, "say what this is")
	flag.Parse()
	if *version {
		fmt.Println("crio-double: a double of CRI-O for tests, with CRI-O's own library for pulls")
		return
	}
	if *post != "" {
		if err := ask(f.listen, *post); err != nil {
			logrus.Fatal(err)
		}
		return
	}
	if err := run(f); err != nil {
		logrus.Fatal(err)
	}
}

func run(f flags) error {
	logrus.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true})
	settings, err := readSettings()
	if err != nil {
		return err
	}
	settings = f.over(settings)
	if err := begin(settings, f.log); err != nil {
		return err
	}
	engine, err := newEngine(settings)
	if err != nil {
		return err
	}
	socket, err := listenOn(f.listen)
	if err != nil {
		return err
	}
	behaviour, err := readBehaviour()
	if err != nil {
		return err
	}
	if err := behaviour.start(); err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			engine.hangup(behaviour)
		}
	}()
	if err := notify("READY=1"); err != nil {
		return err
	}
	logrus.Infof("serving on %s", f.listen)
	return http.Serve(socket, engine.handler())
}

// listenOn opens the socket: from now on it accepts.
func listenOn(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// ask is the client's side: minimal systems have no curl.
func ask(socket, url string) error {
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }
	client := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: time.Minute}
	answer, err := client.Post(url, "", nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

// notify tells systemd, if it asked to be told.
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	connection, err := net.Dial("unixgram", path)
	if err != nil {
		return err
	}
	defer connection.Close()
	_, err = connection.Write([]byte(state))
	return err
}

// behaviour is what the test asks for at the next start.
type behaviour struct {
	slow   time.Duration
	fail   bool
	hang   bool
	failIf string
	hangIf string
	refuse string
}

// readBehaviour takes no word that it does not know: a scenario must not pass without its fault.
func readBehaviour() (behaviour, error) {
	text, err := os.ReadFile("/run/crio-double/behaviour")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return behaviour{}, err
	}
	var b behaviour
	for _, word := range strings.Fields(string(text)) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "slow":
			if b.slow, err = time.ParseDuration(value); err != nil {
				return b, err
			}
		case "fail":
			b.fail = true
		case "fail-if":
			b.failIf = value
		case "hang-if":
			b.hangIf = value
		case "hang":
			b.hang = true
		case "refuse":
			b.refuse = value
		default:
			return b, fmt.Errorf("no such behaviour: %s", word)
		}
	}
	return b, nil
}

func (b behaviour) start() error {
	time.Sleep(b.slow)
	if b.hang {
		hang()
	}
	if b.fail {
		return errors.New("told to fail")
	}
	text, _ := os.ReadFile("/etc/containers/registries.conf")
	if b.hangIf != "" && strings.Contains(string(text), b.hangIf) {
		hang()
	}
	if b.failIf != "" && strings.Contains(string(text), b.failIf) {
		return fmt.Errorf("told to fail where registries.conf says %s", b.failIf)
	}
	return nil
}

// hang never returns. Nothing else runs yet, and Go ends a program in which nothing ever will: so it sleeps.
func hang() {
	for {
		time.Sleep(time.Hour)
	}
}
