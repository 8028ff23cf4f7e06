package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a program may take to start or to end.
const startTime = 30 * time.Second

// A process is a running program.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
	admin  string // address
	http   http.Client
}

// errRefused says that the program did not take its configuration.
type errRefused struct{ stderr string }

func (e errRefused) Error() string { return "the program refuses its configuration:\n" + e.stderr }

// start runs a program in a directory of its own and waits until it is ready.
func start(program, dir string, bootstrap []byte) (*process, error) {
	config, admin := filepath.Join(dir, "bootstrap.json"), filepath.Join(dir, "admin")
	if err := os.WriteFile(config, bootstrap, 0o644); err != nil {
		return nil, err
	}
	x := &process{ended: make(chan struct{}), http: http.Client{Timeout: startTime}}
	x.cmd = exec.Command(program, "-c", config, "--concurrency", "1", "--disable-hot-restart",
		"--file-flush-interval-msec", "10", "--admin-address-path", admin)
	x.cmd.Stderr = &x.stderr
	tie(x.cmd)
	if err := x.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = x.cmd.Wait() // the status is in ProcessState
		close(x.ended)
	}()
	for deadline := time.Now().Add(startTime); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-x.ended:
			return nil, errRefused{x.stderr.String()}
		default:
		}
		if text, err := os.ReadFile(admin); err == nil && len(text) > 0 {
			x.admin = strings.TrimSpace(string(text))
			if status, _, err := x.ask("GET", "/ready"); err == nil && status == 200 {
				return x, nil
			}
		}
		if time.Now().After(deadline) {
			x.kill()
			return nil, fmt.Errorf("%s is not ready in time\n%s", program, x.stderr.String())
		}
	}
}

func (x *process) kill() {
	_ = x.cmd.Process.Kill()
	<-x.ended
}

// stop ends the program in order, so that it writes all its logs.
func (x *process) stop() error {
	_ = x.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-x.ended:
	case <-time.After(startTime):
		x.kill()
		return errors.New("the program does not end")
	}
	if s := x.cmd.ProcessState; !s.Success() {
		return fmt.Errorf("the program ended with %v\n%s", s, x.stderr.String())
	}
	return nil
}

// ask makes a request to admin.
func (x *process) ask(method, path string) (status int, body string, err error) {
	r, err := http.NewRequest(method, "http://"+x.admin+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	answer, err := x.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

// listeners asks for the addresses of the listeners, by name.
func (x *process) listeners() (map[string]string, error) {
	_, text, err := x.ask("GET", "/listeners?format=json")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Statuses []struct {
			Name  string `json:"name"`
			Local struct {
				Socket struct {
					Port int `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return nil, fmt.Errorf("/listeners: %w\n%s", err, text)
	}
	found := map[string]string{}
	for _, l := range answer.Statuses {
		found[l.Name] = "127.0.0.1:" + strconv.Itoa(l.Local.Socket.Port)
	}
	return found, nil
}

// stats are the counters and gauges.
func (x *process) stats() (map[string]int64, error) {
	_, text, err := x.ask("GET", "/stats")
	if err != nil {
		return nil, err
	}
	all := map[string]int64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			all[name] = n
		}
	}
	return all, nil
}
