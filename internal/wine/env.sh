# The environment of every Wine process of ours; the other scripts read it.
# They set root, the top of the source tree, before.

export WINEPREFIX="$root/.wine" WINEARCH=win64 WINEDEBUG=-all

# No menu entries in the home of whoever runs this, no offer to download Mono
# or Gecko, no window.
export WINEDLLOVERRIDES="winemenubuilder.exe=d;mscoree=;mshtml="
unset DISPLAY WAYLAND_DISPLAY

# Written last, when the prefix is complete.
ready=$WINEPREFIX/evertoken-ready
