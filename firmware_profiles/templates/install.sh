#!/bin/sh
# Installs this bundle on the dongle it was made for. Safe to run again: it puts everything as the bundle has it.
set -eu
cd "$(dirname "$0")"

if [ "$(id -u)" -ne 0 ]; then
    echo "Please run this as root: sudo ./install.sh" >&2
    exit 1
fi

# Nothing is touched unless every file arrived as it was written.
sha256sum --check --quiet SHA256SUMS

if [ ! -x /opt/wearcast/bin/wearcast ]; then
    echo "The program is missing: python3 -m venv /opt/wearcast, then install wearcast[edge] into it." >&2
    exit 1
fi

# importlib finds it without loading it.
if grep -q 'obd_elm327' etc/wearcast/agent.yaml &&
    ! /opt/wearcast/bin/python -c 'import sys, importlib.util; sys.exit(importlib.util.find_spec("obd") is None)'; then
    echo "An ELM327 adapter needs python-OBD: install wearcast[edge,elm327] into /opt/wearcast." >&2
    exit 1
fi

# The agent runs as a user of its own, without a shell.
if ! id wearcast >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/wearcast --shell /usr/sbin/nologin wearcast
fi

# Configuration belongs to root and can be read by the agent; key and token can be read by the agent alone.
install -d -m 0750 -o root -g wearcast /etc/wearcast
cp -R etc/wearcast/. /etc/wearcast/
chown -R root:wearcast /etc/wearcast
chmod -R u=rwX,g=rX,o= /etc/wearcast
if [ -f /etc/wearcast/tls/device-key.pem ]; then
    chown wearcast:wearcast /etc/wearcast/tls/device-key.pem
    chmod 0400 /etc/wearcast/tls/device-key.pem
fi

if [ -f /etc/wearcast/tls/enrolment-token ]; then
    chown wearcast:wearcast /etc/wearcast/tls/enrolment-token
    chmod 0400 /etc/wearcast/tls/enrolment-token
    if ! command -v openssl >/dev/null; then
        echo "The dongle makes its key with openssl: apt-get install openssl" >&2
        exit 1
    fi
fi

cp -R etc/systemd/. /etc/systemd/
if [ -d etc/polkit-1 ]; then
    install -d /etc/polkit-1/rules.d
    cp etc/polkit-1/rules.d/60-wearcast-power.rules /etc/polkit-1/rules.d/
fi
if [ -f sbin/wearcast-confirm-bus ]; then
    install -m 0755 sbin/wearcast-confirm-bus /usr/local/sbin/wearcast-confirm-bus
fi

# Lines for the board stand between two marks, so that a second run replaces them.
if [ -f boot/config.txt ]; then
    for config in /boot/firmware/config.txt /boot/config.txt; do
        if [ -f "$config" ]; then
            sed -i '/^# wearcast begin$/,/^# wearcast end$/d' "$config"
            cat boot/config.txt >>"$config"
            break
        fi
    done
fi

systemctl daemon-reload
if [ -d etc/systemd/network ]; then
    systemctl enable systemd-networkd.service
fi
systemctl enable wearcast-agent.service
echo "Installed. Restart the dongle, then follow README.txt."
