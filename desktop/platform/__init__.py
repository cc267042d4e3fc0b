"""What differs between desktops: start at login, notifications, the single instance. One handler table each."""
